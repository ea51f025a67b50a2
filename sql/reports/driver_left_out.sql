-- What clouds charge in the period beside GPUs, the models that they host and services of `per_use`: in no driver's
-- cost.
select
    count(*) as charge_count,
    sum(realized_cost_rc) as known_cost_rc,
    count(realized_cost_rc) = count(*) as is_whole
from fct_owner_costs_daily
where usage_date >= $from_date and usage_date < $to_date and lane = 'cloud' and cost_measure = 'billed'
