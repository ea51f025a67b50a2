-- Landed invoice lines of the invoices named, with the amount and period as they stand there.
select
    usage_date,
    source,
    account,
    invoice_id,
    line_number,
    charge_kind,
    resource_id,
    quantity,
    unit,
    unit_price,
    amount,
    currency,
    period_start,
    period_end,
    object_number,
    object_row
from traced_gpu_bills__lines
where list_contains($invoices, invoice_id)
order by source, account, invoice_id, line_number
