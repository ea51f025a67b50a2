-- The GPU bill line by line, by deployment: what its ready time bought, and all else that is billed; and what of it
-- could come back as cash. Money of one measure each; a sum of which a part is unknown is unknown (NULL).
select
    coalesce(deployment_id, '(no deployment)') as deployment_id,
    line,
    cost_measure,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours,
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc,
    case when count(*) = count(cash_recoverable_cost_rc) then sum(cash_recoverable_cost_rc) end
        as cash_recoverable_cost_rc,
    max(committed_until_date) as committed_until_date,
    max(reason) as reason
from fct_gpu_waste_daily
where usage_date >= $from_date and usage_date < $to_date
group by deployment_id, line, cost_measure
order by deployment_id, line, cost_measure
