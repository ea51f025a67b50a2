-- law: gpu_time_is_conserved
-- scope: account
-- partition: month, days apart
-- The states of every resource-day sum to the hours paid for, and none is negative.
with
paid as (
    select
        usage_date,
        issuer,
        resource_id,
        case when paid_milliseconds > 0 then paid_milliseconds end as paid_ms
    from int_gpu_resource_time_daily
    where is_paid
),

told as (
    select
        usage_date,
        issuer,
        resource_id,
        sum(gpu_milliseconds) as state_ms,
        count(*) filter (where gpu_milliseconds < 0) as negative_count
    from fct_gpu_costs_daily
    where state not in ('overhead', 'tax', 'credit', 'per_use')
    group by usage_date, issuer, resource_id
)

select
    coalesce(paid.usage_date, told.usage_date) as usage_date,
    'gpu_time_is_conserved' as law,
    'issuer:' || coalesce(paid.issuer, told.issuer) as scope,
    concat(
        coalesce(paid.usage_date, told.usage_date), ' ', coalesce(paid.resource_id, told.resource_id), ': ',
        coalesce(cast(paid.paid_ms as varchar), 'no'), ' GPU-milliseconds paid for, ',
        coalesce(cast(told.state_ms as varchar), 'none'), ' in states, ', coalesce(told.negative_count, 0),
        ' states below zero.'
    ) as detail
from paid
full outer join told
    on
        paid.usage_date = told.usage_date
        and paid.issuer = told.issuer
        and paid.resource_id = told.resource_id
where paid.paid_ms is distinct from told.state_ms or told.negative_count > 0
