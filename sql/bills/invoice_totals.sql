-- What a saved answer of AWS's invoicing says: each invoice of each month.
select
    account,
    usage_date as billing_month_date,
    invoice_id,
    invoice_issuer,
    invoice_type,
    payable_cost,
    billing_currency
from stg_aws_invoices__totals
order by account, billing_month_date, invoice_id
