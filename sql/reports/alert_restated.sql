-- What closed months were restated by, by the month in which that is due and the currency.
select
    billing_month_date,
    due_month_date,
    billing_currency,
    cast(sum(difference_cost) as decimal(38, 18)) as difference_cost
from int_closed_month_changes
group by billing_month_date, due_month_date, billing_currency
order by billing_month_date, due_month_date, billing_currency
