-- Which cloud bill of which account names the invoice.
select distinct
    source,
    account
from int_cloud_charges_daily
where is_book and invoice_id = $invoice_id
order by source, account
