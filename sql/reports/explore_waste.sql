-- GPU time and money of the period by day and state, for slicing; lines of a bill that are no GPU's have no hours.
select
    usage_date,
    deployment_id,
    state,
    issuer,
    account,
    cost_measure,
    sum(realized_cost_rc) as cost_rc,
    cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
    count(*) filter (where realized_cost_rc is null) as unknown_count
from fct_gpu_costs_daily
where usage_date >= $from_date and usage_date < $to_date
group by all
order by all
