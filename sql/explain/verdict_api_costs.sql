-- What a workload was billed by class over the settled days, where the same rows carry tokens: the realized prices.
select
    token_class,
    sum(billed_cost_rc) as billed_cost_rc,
    sum(tokens) as tokens,
    count(*) as rows_count
from fct_api_costs_daily
where
    workload = $workload
    and list_contains($days, usage_date)
    and billed_cost_rc is not null
    and tokens != 0
    and token_class is not null
group by token_class
order by token_class
