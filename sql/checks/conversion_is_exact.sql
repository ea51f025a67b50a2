-- law: conversion_is_exact
-- scope: account
-- partition: month, days apart
-- Money in the reporting currency is the bill's own, to the last digit; other money is converted if and only if its day
-- has a rate, and taken back at the same rate it is the bill again, but for the two roundings. No rate is from the
-- future, or older than seven days.
with
amounts as (
    select
        usage_date,
        account,
        'billed API cost' as what,
        billing_currency,
        billed_cost as own_cost,
        billed_cost_rc as cost_rc
    from fct_api_costs_daily
    union all
    select
        usage_date,
        account,
        'API charge beside tokens' as what,
        billing_currency,
        billed_cost as own_cost,
        billed_cost_rc as cost_rc
    from fct_api_other_charges_daily
    union all
    select
        usage_date,
        account,
        'GPU cost' as what,
        billing_currency,
        realized_cost as own_cost,
        realized_cost_rc as cost_rc
    from fct_gpu_costs_daily
    union all
    select
        usage_date,
        account,
        'billed cloud cost' as what,
        billing_currency,
        billed_cost as own_cost,
        billed_cost_rc as cost_rc
    from fct_cloud_charges_daily
    union all
    select
        usage_date,
        account,
        'effective cloud cost' as what,
        billing_currency,
        effective_cost as own_cost,
        effective_cost_rc as cost_rc
    from fct_cloud_charges_daily
),

rated as (
    select
        amounts.usage_date,
        amounts.account,
        amounts.what,
        amounts.billing_currency,
        amounts.own_cost,
        amounts.cost_rc,
        rates.rate_date,
        rates.multiplier,
        rates.divisor,
        coalesce(amounts.billing_currency = rates.reporting_currency, false) as is_reported,
        -- Far off is told without taking it back: what is far off may be too large to be.
        abs(cast(amounts.cost_rc as double) * rates.divisor - cast(amounts.own_cost as double) * rates.multiplier)
        > 1e-9 * abs(cast(amounts.own_cost as double) * rates.multiplier) + cast(rates.divisor as double) * 1e-17
            as is_far_off
    from amounts
    left join int_fx_rates_daily as rates
        on amounts.usage_date = rates.usage_date and amounts.billing_currency = rates.currency
    where amounts.own_cost is not null or amounts.cost_rc is not null
),

quanta as (
    select
        *,
        cast(replace(cast(own_cost as varchar), '.', '') as hugeint) as own_quanta,
        cast(replace(cast(abs(cost_rc) as varchar), '.', '') as hugeint) as quanta_rc
    from rated
    where not is_reported and not is_far_off
),

taken_back as (
    select
        *,
        case when cost_rc < 0 then -1 else 1 end * (
            quanta_rc // multiplier * divisor + (quanta_rc % multiplier * divisor * 2 + multiplier) // (multiplier * 2)
        ) as back_quanta
    from quanta
),

wrong as (
    select
        *,
        'is in the reporting currency and differs from the bill' as problem
    from rated
    where is_reported and own_cost is distinct from cost_rc
    union all
    select
        *,
        'has a rate and is not converted' as problem
    from rated
    where not is_reported and multiplier is not null and own_cost is not null and cost_rc is null
    union all
    select
        *,
        'is converted without a rate or an amount' as problem
    from rated
    where not is_reported and cost_rc is not null and (multiplier is null or own_cost is null)
    union all
    select
        *,
        'is not what the rate makes of it' as problem
    from rated
    where not is_reported and is_far_off
    union all
    select
        * exclude (own_quanta, quanta_rc, back_quanta),
        'is not what the rate makes of it' as problem
    from taken_back
    where abs(back_quanta - own_quanta) > (multiplier + divisor) // (multiplier * 2)
)

select
    usage_date,
    'conversion_is_exact' as law,
    coalesce('account:' || account, 'all') as scope,
    concat(
        usage_date, ' ', what, ' of ', coalesce(cast(own_cost as varchar), 'an unknown amount'), ' ',
        coalesce(billing_currency, 'of no currency'), ' ', problem, ': ', coalesce(cast(cost_rc as varchar), 'nothing'),
        ' in the reporting currency.'
    ) as detail
from wrong
union all
select
    usage_date,
    'conversion_is_exact' as law,
    'all' as scope,
    concat(usage_date, ' ', currency, ': the rate of ', rate_date, ' does not speak for that day.') as detail
from int_fx_rates_daily
where rate_date > usage_date or rate_date < usage_date - 7
