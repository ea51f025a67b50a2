-- The invoice's lines as booked to days.
select
    source,
    account,
    line_number,
    usage_date,
    charge_kind,
    is_gpu_charge,
    resource_id,
    billing_currency,
    realized_cost
from int_gpu_charges_daily
where line_number is not null and invoice_id = $invoice_id
order by source, account, line_number, usage_date
