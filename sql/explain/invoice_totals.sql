-- The total that each file states about the invoice.
select
    usage_date,
    source,
    account,
    invoice_id,
    total_amount,
    currency,
    issued_on,
    object_number,
    object_row
from traced_gpu_bills__totals
where invoice_id = $invoice_id
order by source, account, object_number, object_row
