-- Of each workload's newest verdict of the period that has a replica to speak of: the tokens of every hour of the
-- settled days it was made of, in order; and whether all of them are known by the hour.
with
days as (
    select
        *,
        max(usage_date) filter (where status != 'not_settled') over (partition by workload) as settled_date,
        max(usage_date) over (partition by workload) as newest_date
    from fct_verdicts_daily
    where usage_date >= $from_date and usage_date < $to_date
),

chosen as (
    select
        workload,
        usage_date,
        window_from_date
    from days
    where usage_date = coalesce(settled_date, newest_date) and replica_cost_rc is not null
),

settled as (
    select
        chosen.workload,
        statuses.usage_date
    from chosen
    inner join fct_day_status_daily as statuses
        on chosen.window_from_date <= statuses.usage_date and chosen.usage_date >= statuses.usage_date
    where statuses.status = 'settled' and statuses.blocked_count = 0
),

summed as (
    select distinct settled.workload
    from settled
    inner join fct_demand_daily as demand
        on settled.workload = demand.workload and settled.usage_date = demand.usage_date
    where demand.evidence != 'hourly'
),

demand_hours as (
    select
        workload,
        usage_hour_at,
        cast(sum(tokens) as bigint) as tokens
    from fct_demand_hourly
    group by workload, usage_hour_at
),

clock as (
    select unnest(range(24)) as hour_number
),

grid as (
    select
        settled.workload,
        cast(settled.usage_date as timestamp) + to_hours(cast(clock.hour_number as integer)) as usage_hour_at
    from settled
    cross join clock
),

-- An hour of a settled day that nothing metered had no demand.
hours as (
    select
        grid.workload,
        list(coalesce(demand_hours.tokens, 0) order by grid.usage_hour_at) as hourly_tokens
    from grid
    left join demand_hours
        on grid.workload = demand_hours.workload and grid.usage_hour_at = demand_hours.usage_hour_at
    group by grid.workload
)

select
    chosen.workload,
    hours.hourly_tokens,
    summed.workload is null as is_hourly
from chosen
inner join hours
    on chosen.workload = hours.workload
left join summed
    on chosen.workload = summed.workload
order by chosen.workload
