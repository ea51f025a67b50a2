-- One row per usage_date, workload, model, token_class.
-- Tokens the APIs metered on a day, for each workload, and whether the hours are known: the API half of daily demand.
-- partition: month, days apart
with
hourly as (
    select
        usage_date,
        workload,
        model,
        token_class,
        case when bool_and(shape_from = 'meter') then 'hourly' else 'gateway_shape' end as hours_evidence,
        cast(sum(tokens) as bigint) as hourly_tokens
    from int_api_tokens_hourly
    group by all
),

daily as (
    select
        int_api_usage_parts_hourly.usage_date,
        int_api_workloads_daily.workload,
        int_api_usage_parts_hourly.model,
        int_api_usage_parts_hourly.token_class,
        cast(sum(int_api_usage_parts_hourly.tokens) as bigint) as tokens
    from int_api_usage_parts_hourly
    inner join int_api_workloads_daily
        on
            int_api_usage_parts_hourly.usage_date = int_api_workloads_daily.usage_date
            and int_api_usage_parts_hourly.provider = int_api_workloads_daily.provider
            and int_api_usage_parts_hourly.account = int_api_workloads_daily.account
            and int_api_usage_parts_hourly.sub_account_id is not distinct from int_api_workloads_daily.sub_account_id
            and int_api_usage_parts_hourly.api_key_id is not distinct from int_api_workloads_daily.api_key_id
            and int_api_usage_parts_hourly.model is not distinct from int_api_workloads_daily.model
            and int_api_usage_parts_hourly.gateway_key_id is not distinct from int_api_workloads_daily.gateway_key_id
            and int_api_usage_parts_hourly.gateway_team_id is not distinct from int_api_workloads_daily.gateway_team_id
    where int_api_usage_parts_hourly.charge_kind = 'tokens'
    group by all
),

final as (
    select
        daily.usage_date,
        daily.workload,
        daily.model,
        daily.token_class,
        daily.tokens,
        case when daily.tokens = hourly.hourly_tokens then hourly.hours_evidence else 'daily' end as evidence
    from daily
    left join hourly
        on
            daily.usage_date = hourly.usage_date
            and daily.workload = hourly.workload
            and daily.model is not distinct from hourly.model
            and daily.token_class = hourly.token_class
)

select * from final
