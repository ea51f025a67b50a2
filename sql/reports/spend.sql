-- Spend by who sends the invoice and by measure. Measures are never added to each other.
select
    'api' as lane,
    provider as paid_to,
    account,
    model as spent_on,
    'billed' as cost_measure,
    sum(billed_cost_rc) as realized_cost_rc,
    sum(list_cost_rc) as list_cost_rc,
    sum(tokens) as tokens
from fct_api_costs_daily
where usage_date >= $from_date and usage_date < $to_date and attribution <> 'metered_only'
group by all
union all
select
    'self_host' as lane,
    issuer as paid_to,
    account,
    coalesce(deployment_id, state) as spent_on,
    cost_measure,
    sum(realized_cost_rc) as realized_cost_rc,
    cast(null as decimal(38, 18)) as list_cost_rc,
    cast(null as hugeint) as tokens
from fct_gpu_costs_daily
where usage_date >= $from_date and usage_date < $to_date
group by all
order by lane, paid_to, account nulls last, spent_on nulls last, cost_measure
