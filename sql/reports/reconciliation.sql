-- Every invoice against the lines that were counted.
select *
from fct_reconciliation_invoice
where
    (period_start_date < $to_date or period_start_date is null)
    and (period_end_date > $from_date or period_end_date is null)
order by issuer, account, invoice_id
