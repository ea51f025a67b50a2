-- Every invoice whose billing month begins in the period, beside lines and adjustments; of a closed month as closed.
select *
from fct_invoices_monthly
where billing_month_date >= $from_date and billing_month_date < $to_date
order by
    billing_month_date asc, issuer asc, billing_currency asc, restated_month_date asc nulls first, invoice_id asc,
    account asc
