-- Where a control and the book of record of the same bill are furthest apart: three of each issuer and currency.
with
ranked as (
    select
        *,
        row_number() over (
            partition by issuer, billing_currency
            order by
                abs(difference_cost) desc, usage_date asc, account asc, control_source asc, control_account asc,
                model asc nulls last
        ) as place
    from fct_control_differences_daily
    where usage_date >= $from_date and usage_date < $to_date and status = 'compared' and difference_cost != 0
)

select
    issuer,
    account,
    billing_currency,
    usage_date,
    control_source,
    control_account,
    model,
    book_cost,
    control_cost,
    difference_cost
from ranked
where place <= 3
order by issuer, billing_currency, place
