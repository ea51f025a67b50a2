-- One row per usage_date, currency.
-- What turns an amount into the reporting currency: amount x multiplier / divisor, both of one rate date, the newest
-- one on or before the day on which the ECB published both currencies, at most 7 days old (weekends, Easter,
-- Christmas). No row: no rate, so the amount stays unconverted. The reporting currency itself needs no rate.
-- (Not from staging, which is no table by the day: a new rate would be news to every month.)
-- partition: month, days apart
-- days: calendar
-- lookback: landed_ecb_rates__rates 7 days
with
rates as (
    select
        usage_date as rate_date,
        account,
        currency,
        cast(rate as decimal(18, 8)) as currency_per_eur
    from landed_ecb_rates__rates
),

companies as (
    select * from config_company
),

days as (
    select
        calendar.usage_date,
        companies.reporting_currency
    from calendar
    inner join companies
        on
            calendar.usage_date >= coalesce(companies.valid_from_date, calendar.usage_date)
            and calendar.usage_date < coalesce(companies.valid_to_date, calendar.usage_date + 1)
),

-- Per euro, in 10^-8. Two feeds of the same rates are one: the first by name.
published as (
    select
        rate_date,
        currency,
        min_by(currency_per_eur, account) as currency_per_eur
    from rates
    group by rate_date, currency
    union all
    select distinct
        rate_date,
        'EUR' as currency,
        cast(1 as decimal(18, 8)) as currency_per_eur
    from rates
),

converted as (
    select
        days.usage_date,
        own.currency,
        days.reporting_currency,
        own.rate_date,
        reporting.currency_per_eur as reporting_per_eur,
        own.currency_per_eur
    from days
    inner join published as own
        on
            days.usage_date >= own.rate_date
            and days.usage_date <= own.rate_date + 7
            and days.reporting_currency != own.currency
    inner join published as reporting
        on days.reporting_currency = reporting.currency and own.rate_date = reporting.rate_date
    qualify row_number() over (partition by days.usage_date, own.currency order by own.rate_date desc) = 1
),

final as (
    select
        usage_date,
        currency,
        reporting_currency,
        rate_date,
        reporting_per_eur,
        currency_per_eur,
        -- A rate has always 8 digits after its point: without it, it counts units of 10^-8.
        cast(replace(cast(reporting_per_eur as varchar), '.', '') as bigint) as multiplier,
        cast(replace(cast(currency_per_eur as varchar), '.', '') as bigint) as divisor
    from converted
    union all
    select
        usage_date,
        reporting_currency as currency,
        reporting_currency,
        cast(null as date) as rate_date,
        cast(null as decimal(18, 8)) as reporting_per_eur,
        cast(null as decimal(18, 8)) as currency_per_eur,
        cast(1 as bigint) as multiplier,
        cast(1 as bigint) as divisor
    from days
)

select * from final
