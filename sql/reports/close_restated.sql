-- What months of the period were restated by since they were closed, by the month in which that is due.
select *
from fct_invoices_monthly
where restated_month_date >= $from_date and restated_month_date < $to_date
order by restated_month_date, issuer, billing_currency, account, billing_month_date
