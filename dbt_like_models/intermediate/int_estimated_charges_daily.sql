-- One row per usage_date, source, dataset, estimating_account, issuer, account, model, billing_currency.
-- What gateways think other people's bills come to: issuer and account are those of the bill, as settings.bills says.
-- partition: month
-- rows of: stg_litellm_activity__estimates_daily, stg_litellm_focus__estimates_daily
with
stated as (
    select
        usage_date,
        'litellm_focus' as source,
        'daily_spend' as dataset,
        account as estimating_account,
        provider,
        raw_model,
        billing_currency,
        rated_cost
    from stg_litellm_focus__estimates_daily
    union all
    select
        usage_date,
        'litellm_activity' as source,
        'daily_activity' as dataset,
        account as estimating_account,
        provider,
        cast(null as varchar) as raw_model,
        billing_currency,
        rated_cost
    from stg_litellm_activity__estimates_daily
),

final as (
    select
        stated.usage_date,
        stated.source,
        stated.dataset,
        stated.estimating_account,
        coalesce(config_estimated_bills.bill_issuer, stated.provider) as issuer,
        config_estimated_bills.bill_account as account,
        config_estimated_bills.provider is not null as is_declared,
        int_api_model_names_daily.model,
        stated.billing_currency,
        cast(sum(stated.rated_cost) as decimal(38, 18)) as rated_cost
    from stated
    left join config_estimated_bills
        on
            stated.source = config_estimated_bills.source
            and stated.estimating_account = config_estimated_bills.account
            and stated.provider = config_estimated_bills.provider
    left join int_api_model_names_daily
        on
            stated.usage_date = int_api_model_names_daily.usage_date
            and stated.provider = int_api_model_names_daily.provider
            and stated.raw_model = int_api_model_names_daily.raw_model
    group by all
)

select * from final
