-- What a workload used by token class, of the 28 days that end with its newest.
select
    token_class,
    sum(tokens) as tokens
from fct_demand_daily
where
    workload = $workload
    and tokens > 0
    and usage_date > (
        select max(newest.usage_date) - 28
        from fct_demand_daily as newest
        where newest.workload = $workload
    )
group by token_class
order by token_class
