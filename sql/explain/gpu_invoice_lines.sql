-- Landed invoice lines of the invoices named, with the amount and period as they stand there.
select
    usage_date,
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
from traced_invoice_csv__lines
where list_contains($invoices, invoice_id)
order by account, invoice_id, line_number
