-- Where the GPU-hours and each measure's money went, by deployment and state; lines of the bill that are no GPU's have
-- no hours. A sum of which a part is unknown is unknown (NULL).
select
    deployment_id,
    state,
    cost_measure,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours,
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc
from fct_gpu_costs_daily
where usage_date >= $from_date and usage_date < $to_date
group by deployment_id, state, cost_measure
order by deployment_id nulls last, state, cost_measure
