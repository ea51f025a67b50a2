-- What the lines of bills come to a day, of the billing months that begin in the period, whatever day a line is dated.
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
)

select
    cast(billing_month_date as date) as billing_month_date,
    issuer,
    account,
    billing_currency,
    usage_date,
    max(source) as source,
    bool_or(is_by_lines) as is_by_lines,
    cast(sum(in_scope_cost + out_of_scope_cost) as decimal(38, 18)) as booked_cost
from dated
where billing_month_date >= $from_date and billing_month_date < $to_date
group by billing_month_date, issuer, account, billing_currency, usage_date
order by billing_month_date, issuer, account, billing_currency, usage_date
