-- The GPU bills themselves, as charged (or, where no bill has come, as agreed), beside the sum of the states they were
-- split into: the two are equal to the last digit. In the reporting currency each day of a bill is converted at its own
-- rate; a bill of which a part has no rate is unknown there (NULL).
with
charged as (
    select
        usage_date,
        issuer,
        account,
        cost_measure,
        billing_currency,
        realized_cost
    from int_gpu_charges_daily
    where usage_date >= $from_date and usage_date < $to_date
    union all
    select
        usage_date,
        issuer,
        account,
        cost_measure,
        billing_currency,
        realized_cost
    from int_gpu_resource_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and cost_measure = 'accrued'
),

bill_days as (
    select
        usage_date,
        issuer,
        account,
        cost_measure,
        billing_currency,
        case when count(*) = count(realized_cost) then cast(sum(realized_cost) as decimal(38, 18)) end as day_cost
    from charged
    group by usage_date, issuer, account, cost_measure, billing_currency
),

-- Quanta of 10^-18 x multiplier / divisor, half away from zero, as the marts convert.
converted_days as (
    select
        bill_days.*,
        rates.multiplier,
        rates.divisor,
        cast(replace(cast(abs(bill_days.day_cost) as varchar), '.', '') as hugeint) as quanta
    from bill_days
    left join int_fx_rates_daily as rates
        on bill_days.usage_date = rates.usage_date and bill_days.billing_currency = rates.currency
),

bills as (
    select
        issuer,
        account,
        cost_measure,
        billing_currency,
        case when count(*) = count(day_cost) then sum(day_cost) end as bill_cost,
        case
            when count(*) = count(day_cost) and count(*) = count(divisor)
                then sum(
                    case when day_cost < 0 then -1 else 1 end
                    * cast(
                        quanta // divisor * multiplier
                        + (quanta % divisor * multiplier * 2 + divisor) // (divisor * 2) as decimal(38, 0)
                    )
                    * cast('0.000000000000000001' as decimal(19, 18))
                )
        end as bill_cost_rc
    from converted_days
    group by issuer, account, cost_measure, billing_currency
),

states as (
    select
        issuer,
        account,
        cost_measure,
        billing_currency,
        case when count(*) = count(realized_cost) then sum(realized_cost) end as states_cost
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
    bills.bill_cost_rc
from bills
full outer join states
    on
        bills.issuer = states.issuer
        and bills.account is not distinct from states.account
        and bills.cost_measure = states.cost_measure
        and bills.billing_currency is not distinct from states.billing_currency
order by issuer, account nulls last, cost_measure, billing_currency nulls last
