-- What each day's verdict rested on, by workload, with the tokens of that day's hours: what a backtest replays.
with
hours as (
    select
        usage_date,
        workload,
        usage_hour_at,
        cast(sum(tokens) as bigint) as tokens
    from fct_demand_hourly
    group by usage_date, workload, usage_hour_at
),

days as (
    select
        usage_date,
        workload,
        list(tokens order by usage_hour_at) as hourly_tokens
    from hours
    group by usage_date, workload
)

select
    verdicts.workload,
    verdicts.usage_date,
    verdicts.window_days_count,
    verdicts.api_price_rc_per_mtok,
    verdicts.api_committed_cost_rc,
    verdicts.capacity_tokens_per_replica_hour,
    verdicts.replica_cost_rc,
    verdicts.fixed_cost_rc,
    verdicts.demand_ratio,
    verdicts.current_lane,
    days.hourly_tokens
from fct_verdicts_daily as verdicts
left join days
    on verdicts.workload = days.workload and verdicts.usage_date = days.usage_date
where verdicts.best_replica_count is not null
order by verdicts.workload, verdicts.usage_date
