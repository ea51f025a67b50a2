-- What lines of bills in other currencies than the reporting one come to a day, by the billing month and invoice that
-- they are on, with the rate of their day (NULL: none). Lines of a GPU invoice stand on the days that they pay for, as
-- in the cost tables.
with
dated as (
    select
        *,
        date_trunc(
            'month',
            case
                when is_by_lines
                    then min(period_date) over (partition by source, account, issuer, invoice_id)
                else period_date
            end
        ) as billing_month_date
    from int_billed_lines_daily
    where billing_currency != $reporting_currency
),

of_month as (
    select * from dated
    where billing_month_date >= $from_date and billing_month_date < $to_date
),

invoices as (
    select distinct
        billing_month_date,
        source,
        issuer,
        account,
        invoice_id
    from of_month
    where is_by_lines
),

days as (
    select
        issuer,
        account,
        billing_currency,
        invoice_id,
        usage_date,
        in_scope_cost + out_of_scope_cost as cost
    from of_month
    where not is_by_lines
    union all
    select
        invoices.issuer,
        invoices.account,
        charges.billing_currency,
        invoices.invoice_id,
        charges.usage_date,
        charges.realized_cost as cost
    from invoices
    inner join int_gpu_charges_daily as charges
        on
            invoices.source = charges.source
            and invoices.account = charges.account
            and invoices.invoice_id = charges.invoice_id
    where charges.billing_currency != $reporting_currency
)

select
    days.issuer,
    days.account,
    days.billing_currency,
    days.invoice_id,
    days.usage_date,
    cast(sum(days.cost) as decimal(38, 18)) as cost,
    min(rates.multiplier) as multiplier,
    min(rates.divisor) as divisor
from days
left join int_fx_rates_daily as rates
    on
        days.usage_date = rates.usage_date
        and days.billing_currency = rates.currency
        and rates.reporting_currency = $reporting_currency
group by days.issuer, days.account, days.billing_currency, days.invoice_id, days.usage_date
order by days.issuer, days.account, days.billing_currency, days.invoice_id nulls first, days.usage_date
