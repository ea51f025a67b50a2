-- What is agreed for GPU resources in the period and not billed: one row per day, resource and cost centre, with the
-- GPU-hours of its whole resource-day, and whether these are agreed or reported. A cost of NULL is time for which no
-- rate is agreed.
with
hours as (
    select
        usage_date,
        issuer,
        resource_id,
        max(accrual_basis) as accrual_basis,
        cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds
    from int_gpu_resource_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and cost_measure = 'accrued'
    group by usage_date, issuer, resource_id
)

select
    owners.usage_date,
    owners.issuer,
    owners.account,
    owners.resource_id,
    owners.cost_centre,
    owners.billing_currency,
    hours.accrual_basis,
    hours.gpu_milliseconds,
    case when count(*) = count(owners.realized_cost) then sum(owners.realized_cost) end as cost
from fct_owner_costs_daily as owners
left join hours
    on
        owners.usage_date = hours.usage_date
        and owners.issuer = hours.issuer
        and owners.resource_id is not distinct from hours.resource_id
where owners.usage_date >= $from_date and owners.usage_date < $to_date and owners.cost_measure = 'accrued'
group by all
order by all
