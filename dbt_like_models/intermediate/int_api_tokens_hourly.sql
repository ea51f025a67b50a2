-- One row per usage_date, usage_hour_at, workload, model, token_class.
-- Tokens the APIs metered by the hour, for each workload: the API half of hourly demand.
-- partition: month
with
metered as (
    select * from int_api_usage_hourly
    where charge_kind = 'tokens' and usage_hour_at is not null
),

final as (
    select
        metered.usage_date,
        metered.usage_hour_at,
        int_api_workloads_daily.workload,
        metered.model,
        metered.token_class,
        cast(sum(metered.tokens) as bigint) as tokens
    from metered
    inner join int_api_workloads_daily
        on
            metered.usage_date = int_api_workloads_daily.usage_date
            and metered.provider = int_api_workloads_daily.provider
            and metered.account = int_api_workloads_daily.account
            and metered.sub_account_id is not distinct from int_api_workloads_daily.sub_account_id
            and metered.api_key_id is not distinct from int_api_workloads_daily.api_key_id
            and metered.model is not distinct from int_api_workloads_daily.model
    group by all
)

select * from final
