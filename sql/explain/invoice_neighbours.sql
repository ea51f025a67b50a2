-- What other invoices bill on the same resource-days as this one.
select sum(others.realized_cost) as realized_cost
from int_gpu_charges_daily as others
inner join (
    select distinct
        usage_date,
        issuer,
        account,
        resource_id,
        billing_currency
    from int_gpu_charges_daily
    where line_number is not null and invoice_id = $invoice_id
) as resource_days
    on
        others.usage_date = resource_days.usage_date
        and others.issuer = resource_days.issuer
        and others.account = resource_days.account
        and others.resource_id is not distinct from resource_days.resource_id
        and others.billing_currency = resource_days.billing_currency
where others.cost_measure = 'billed' and others.invoice_id is distinct from $invoice_id
