-- A deployment's GPU money and hours by settled day and measure, all states.
select
    usage_date,
    cost_measure,
    sum(realized_cost_rc) as realized_cost_rc,
    sum(gpu_milliseconds) as gpu_milliseconds,
    count(*) - count(realized_cost_rc) as unpriced_count
from fct_gpu_costs_daily
where
    deployment_id = $deployment
    and gpu_milliseconds != 0
    and list_contains($days, usage_date)
group by usage_date, cost_measure
order by usage_date, cost_measure
