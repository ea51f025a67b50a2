-- What fct_unit_costs_daily says of the same models, classes and days, the blended rows left out.
select sum(full_cost_rc) as full_cost_rc
from fct_unit_costs_daily
where
    lane = 'api'
    and token_class != 'blended'
    and usage_date >= cast($from_date as date)
    and usage_date < cast($to_date as date)
    and (cast($model as varchar) is null or model = $model)
    and (cast($token_class as varchar) is null or token_class = $token_class)
