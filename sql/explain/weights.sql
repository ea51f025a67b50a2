-- What a token of each class weighs in a deployment's bill of a day, as published; and what of the bill each class got,
-- with the whole bill beside it.
select
    weights.*,
    shares.class_weight_method as split_method,
    shares.full_cost_rc,
    shares.active_cost_rc,
    whole.full_cost_rc as whole_full_cost_rc,
    whole.active_cost_rc as whole_active_cost_rc
from fct_token_class_weights_daily as weights
left join fct_unit_costs_daily as shares
    on
        weights.usage_date = shares.usage_date
        and weights.deployment_id = shares.deployment_id
        and weights.token_class = shares.token_class
        and shares.lane = 'self_host'
left join fct_unit_costs_daily as whole
    on
        weights.usage_date = whole.usage_date
        and weights.deployment_id = whole.deployment_id
        and whole.token_class = 'blended'
        and whole.lane = 'self_host'
where weights.deployment_id = $deployment and weights.usage_date = cast($usage_date as date)
order by weights.token_class
