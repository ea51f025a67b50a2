-- One row per usage_date, source, account, provider, sub_account_id, api_key_id, raw_model, charge_kind, token_class,
-- service_tier, class_split, billing_currency.
-- What the bills of small providers charge, each row in the columns that their readers share; a row without an amount
-- charges nothing and is not here.
-- partition: month
with
lines as (
    select * from landed_api_bills__lines
),

final as (
    select
        usage_date,
        source,
        account,
        provider,
        sub_account_id,
        api_key_id,
        model as raw_model,
        charge_kind,
        token_class,
        service_tier,
        class_split,
        currency as billing_currency,
        cast(sum(cast(amount as decimal(38, 18))) as decimal(38, 18)) as billed_cost,
        count(*) as line_count
    from lines
    where amount is not null
    group by all
)

select * from final
