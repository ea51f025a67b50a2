-- The GPU bills themselves, as charged (or, where no bill has come, as agreed), beside the sum of the states they were
-- split into: the two are equal to the last digit.
with
charged as (
    select
        issuer,
        account,
        cost_measure,
        billing_currency,
        realized_cost
    from int_gpu_charges_daily
    where usage_date >= $from_date and usage_date < $to_date
    union all
    select
        issuer,
        account,
        cost_measure,
        billing_currency,
        realized_cost
    from int_gpu_resource_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and cost_measure = 'accrued'
),

bills as (
    select
        issuer,
        account,
        cost_measure,
        billing_currency,
        case when count(*) = count(realized_cost) then sum(realized_cost) end as bill_cost
    from charged
    group by issuer, account, cost_measure, billing_currency
),

states as (
    select
        issuer,
        account,
        cost_measure,
        billing_currency,
        case when count(*) = count(realized_cost) then sum(realized_cost) end as states_cost,
        bool_and(realized_cost_rc is not null) as is_converted
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
    group by issuer, account, cost_measure, billing_currency
)

select
    coalesce(bills.issuer, states.issuer) as issuer,
    coalesce(bills.account, states.account) as account,
    coalesce(bills.cost_measure, states.cost_measure) as cost_measure,
    coalesce(bills.billing_currency, states.billing_currency) as billing_currency,
    bills.bill_cost,
    states.states_cost,
    states.states_cost - bills.bill_cost as difference_cost,
    coalesce(states.is_converted, false) as is_converted
from bills
full outer join states
    on
        bills.issuer = states.issuer
        and bills.account is not distinct from states.account
        and bills.cost_measure = states.cost_measure
        and bills.billing_currency is not distinct from states.billing_currency
order by issuer, account nulls last, cost_measure, billing_currency nulls last
