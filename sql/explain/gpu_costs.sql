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
    and (cast($measure as varchar) is null or cost_measure = $measure)
    and (cast($issuer as varchar) is null or issuer = $issuer)
    and (cast($account as varchar) is null or account = $account)
    and (cast($currency as varchar) is null or billing_currency = $currency)
    and (
        cast($line_kind as varchar) is null
        or case when state in ('overhead', 'tax', 'credit', 'per_use') then state else 'gpu' end = $line_kind
    )
    and (not $is_of_no_deployment or deployment_id is null)
order by row_number
