-- Tokens of the period and what they cost in full, by day, model and what serves it. A day whose tokens nobody counted
-- has a cost and no tokens: it is counted in `unknown_count` and in no price.
select
    usage_date,
    lane,
    model,
    provider,
    deployment_id,
    cost_measure,
    sum(full_cost_rc) filter (where tokens is not null) as cost_rc,
    cast(sum(tokens) filter (where full_cost_rc is not null) as bigint) as tokens,
    count(*) filter (where tokens is null or full_cost_rc is null) as unknown_count
from fct_unit_costs_daily
where usage_date >= $from_date and usage_date < $to_date and token_class = 'blended'
group by all
order by all
