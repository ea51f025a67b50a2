-- Days of closed months that say something else since: those that are due in the period, and those of its own months.
select *
from int_closed_month_changes
where
    (due_month_date >= $from_date and due_month_date < $to_date)
    or (billing_month_date >= $from_date and billing_month_date < $to_date)
order by billing_month_date, issuer, account, billing_currency, usage_date
