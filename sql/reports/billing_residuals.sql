-- Of each GPU resource, what bills are beyond their GPU-hours at the agreed rate, where they are; what is unknown,
-- then the largest. A sum of which a day is unknown is unknown (NULL). A period with two rates has two rows.
with
sums as (
    select
        issuer,
        account,
        resource_id,
        billing_currency,
        contract_rate_per_gpu_hour,
        case when count(*) = count(gpu_milliseconds) then cast(sum(gpu_milliseconds) as double) / 3600000 end
            as gpu_hours,
        case when count(*) = count(billed_cost) then sum(billed_cost) end as billed_cost,
        case when count(*) = count(rated_cost) then sum(rated_cost) end as rated_cost,
        case when count(*) = count(billing_residual_cost) then sum(billing_residual_cost) end as billing_residual_cost,
        bool_or(billing_residual_cost is distinct from 0) as is_apart
    from fct_billing_residual_daily
    where usage_date >= $from_date and usage_date < $to_date
    group by issuer, account, resource_id, billing_currency, contract_rate_per_gpu_hour
)

select * exclude (is_apart)
from sums
where is_apart
order by
    abs(billing_residual_cost) desc nulls first,
    issuer asc,
    account asc,
    resource_id asc,
    billing_currency asc,
    contract_rate_per_gpu_hour asc
