-- Every charge of the period by day and whose it is, for slicing. Money of one measure each; what is not converted or
-- has no price is counted in `unknown_count` and in no sum.
select
    usage_date,
    lane,
    cost_measure,
    team,
    cost_centre,
    environment,
    workload,
    deployment_id,
    account,
    sum(realized_cost_rc) as cost_rc,
    count(*) filter (where realized_cost_rc is null) as unknown_count
from fct_owner_costs_daily
where usage_date >= $from_date and usage_date < $to_date
group by all
order by all
