-- One row per usage_date, source, account, provider, sub_account_id, api_key_id, raw_model, token_class, service_tier.
-- The tokens that the bills of small providers state beside their money. They know days and no hours.
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
        cast(sum(tokens) as bigint) as tokens
    from lines
    where tokens > 0
    group by all
)

select * from final
