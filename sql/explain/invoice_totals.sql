-- The total that each file states about the invoice.
select
    usage_date,
    account,
    invoice_id,
    total_amount,
    currency,
    issued_on,
    object_number,
    object_row
from traced_invoice_csv__totals
where invoice_id = $invoice_id
order by account, object_number, object_row
