-- Where the GPU bill went, by state: GPU-hours and money of one measure each. Money that is not converted stands in a
-- line of its own, in its own currency; a sum of which a part has no price is unknown (NULL).
with
costs as (
    select
        *,
        case when realized_cost is not null and realized_cost_rc is null then billing_currency end
            as unconverted_currency
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and state != 'per_use'
)

select
    coalesce(deployment_id, '(no deployment)') as deployment_id,
    state,
    cost_measure,
    cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours,
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc,
    sum(realized_cost) filter (where unconverted_currency is not null) as unconverted_cost,
    unconverted_currency
from costs
group by deployment_id, state, cost_measure, unconverted_currency
order by deployment_id, state, cost_measure, unconverted_currency nulls first
