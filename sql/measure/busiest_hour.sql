-- The hour of the 28 days that end with its newest in which a workload used most tokens.
select
    usage_hour_at,
    sum(tokens) as tokens
from fct_demand_hourly
where
    workload = $workload
    and usage_date > (
        select max(newest.usage_date) - 28
        from fct_demand_hourly as newest
        where newest.workload = $workload
    )
group by usage_hour_at
order by tokens desc, usage_hour_at asc
limit 1
