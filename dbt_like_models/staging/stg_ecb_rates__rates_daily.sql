-- One row per rate_date, account, currency.
-- How much of a currency one euro was on a day on which the European Central Bank published rates. It publishes none on
-- weekends and TARGET holidays, and a currency it leaves out that day has no row.
-- partition: month, days apart
-- date: rate_date
with
rates as (
    select * from landed_ecb_rates__rates
),

final as (
    select
        usage_date as rate_date,
        account,
        currency,
        cast(rate as decimal(18, 8)) as currency_per_eur
    from rates
)

select * from final
