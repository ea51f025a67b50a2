-- What the cloud bills of record charge on an invoice, by day, service and kind of charge.
select
    usage_date,
    source,
    account,
    invoice_issuer,
    billing_currency,
    service,
    charge_category,
    sum(billed_cost) as billed_cost,
    sum(line_count) as line_count
from int_cloud_charges_daily
where is_book and invoice_id = $invoice_id
group by usage_date, source, account, invoice_issuer, billing_currency, service, charge_category
order by usage_date, source, account, invoice_issuer, billing_currency, service, charge_category
