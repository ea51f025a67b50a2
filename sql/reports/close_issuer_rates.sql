-- What AWS's invoicing says of each invoice's conversion: what it comes to, what is paid of it, and at which rate.
select
    account,
    invoice_id,
    billing_currency,
    payable_cost,
    payment_currency,
    payment_cost,
    exchange_from_currency,
    exchange_to_currency,
    issuer_fx_rate,
    issued_on_date
from stg_aws_invoices__totals
where issuer_fx_rate is not null
order by invoice_id, billing_currency, account, usage_date
