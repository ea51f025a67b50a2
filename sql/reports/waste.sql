-- Where the GPU bill went, by state: GPU-hours and money of one measure each.
select
    coalesce(deployment_id, '(no deployment)') as deployment_id,
    state,
    cost_measure,
    cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours,
    sum(realized_cost_rc) as realized_cost_rc
from fct_gpu_costs_daily
where usage_date >= $from_date and usage_date < $to_date
group by all
order by deployment_id, state, cost_measure
