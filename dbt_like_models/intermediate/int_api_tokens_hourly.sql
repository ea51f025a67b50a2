-- One row per usage_date, usage_hour_at, workload, model, token_class.
-- Tokens the APIs metered by the hour, for each workload: the API half of hourly demand. Of what they metered by the
-- day the hours are a gateway's, where it saw the day; `shape_from` says whose hours they are.
-- partition: month, days apart
with
metered as (
    select * from int_api_usage_parts_hourly
    where charge_kind = 'tokens' and usage_hour_at is not null
),

timed as (
    select
        metered.usage_date,
        metered.usage_hour_at,
        int_api_workloads_daily.workload,
        metered.model,
        metered.token_class,
        'meter' as shape_from,
        metered.tokens
    from metered
    inner join int_api_workloads_daily
        on
            metered.usage_date = int_api_workloads_daily.usage_date
            and metered.provider = int_api_workloads_daily.provider
            and metered.account = int_api_workloads_daily.account
            and metered.sub_account_id is not distinct from int_api_workloads_daily.sub_account_id
            and metered.api_key_id is not distinct from int_api_workloads_daily.api_key_id
            and metered.model is not distinct from int_api_workloads_daily.model
            and metered.gateway_key_id is not distinct from int_api_workloads_daily.gateway_key_id
            and metered.gateway_team_id is not distinct from int_api_workloads_daily.gateway_team_id
    union all
    select
        usage_date,
        usage_hour_at,
        workload,
        model,
        token_class,
        'gateway' as shape_from,
        tokens
    from int_api_tokens_shaped_hourly
),

final as (
    select
        usage_date,
        usage_hour_at,
        workload,
        model,
        token_class,
        -- There are two: all names of an hour in one, where it has both.
        min(shape_from)
        || case when min(shape_from) != max(shape_from) then '+' || max(shape_from) else '' end as shape_from,
        cast(sum(tokens) as bigint) as tokens
    from timed
    group by usage_date, usage_hour_at, workload, model, token_class
)

select * from final
