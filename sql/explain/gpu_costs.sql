-- The rows of fct_gpu_costs_daily that a figure is made of. A filter that is NULL leaves its column open.
select
    *,
    row_number() over (
        order by usage_date, issuer, account, resource_id, deployment_id, state, cost_measure, billing_currency
    ) as row_number
from fct_gpu_costs_daily
where
    usage_date >= cast($from_date as date)
    and usage_date < cast($to_date as date)
    and (cast($deployment as varchar) is null or deployment_id = $deployment)
    and (cast($resource as varchar) is null or resource_id = $resource)
    and (cast($state as varchar) is null or state = $state)
order by row_number
