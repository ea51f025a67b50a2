-- law: gpu_waste_sums_to_the_bill
-- scope: account
-- partition: month, days apart
-- The lines of the waste table are the GPU bill: time and money of each deployment and measure, to the last quantum.
with
bills as (
    select
        usage_date,
        issuer,
        account,
        deployment_id,
        cost_measure,
        billing_currency,
        sum(gpu_milliseconds) as gpu_ms,
        case when count(*) = count(realized_cost) then sum(realized_cost) end as cost,
        case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as cost_rc
    from fct_gpu_costs_daily
    group by usage_date, issuer, account, deployment_id, cost_measure, billing_currency
),

told as (
    select
        usage_date,
        issuer,
        account,
        deployment_id,
        cost_measure,
        billing_currency,
        sum(gpu_milliseconds) as gpu_ms,
        case when count(*) = count(realized_cost) then sum(realized_cost) end as cost,
        case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as cost_rc,
        count(*) filter (where gpu_milliseconds < 0) as negative_count
    from fct_gpu_waste_daily
    group by usage_date, issuer, account, deployment_id, cost_measure, billing_currency
)

select
    coalesce(bills.usage_date, told.usage_date) as usage_date,
    'gpu_waste_sums_to_the_bill' as law,
    'issuer:' || coalesce(bills.issuer, told.issuer) as scope,
    concat(
        coalesce(bills.usage_date, told.usage_date), ' ',
        coalesce(bills.deployment_id, told.deployment_id, '(no deployment)'), ', ',
        coalesce(bills.cost_measure, told.cost_measure), ': ', coalesce(cast(bills.gpu_ms as varchar), 'no'),
        ' GPU-milliseconds and ', coalesce(cast(bills.cost as varchar), 'no known cost'), ' billed, ',
        coalesce(cast(told.gpu_ms as varchar), 'none'), ' and ', coalesce(cast(told.cost as varchar), 'none'),
        ' in lines, ', coalesce(told.negative_count, 0), ' below zero.'
    ) as detail
from bills
full outer join told
    on
        bills.usage_date = told.usage_date
        and bills.issuer = told.issuer
        and bills.account is not distinct from told.account
        and bills.deployment_id is not distinct from told.deployment_id
        and bills.cost_measure = told.cost_measure
        and bills.billing_currency is not distinct from told.billing_currency
where
    bills.gpu_ms is distinct from told.gpu_ms
    or bills.cost is distinct from told.cost
    or bills.cost_rc is distinct from told.cost_rc
    or told.negative_count > 0
