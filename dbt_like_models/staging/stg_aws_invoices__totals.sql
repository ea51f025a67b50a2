-- One row per usage_date, account, billing_account_id, invoice_id.
-- What each invoice of AWS's comes to, tax included, by the first day of its billing month: what its lines must add up
-- to. A receipt of a payment is no invoice, and of one that the account itself has sent nothing is due.
-- partition: month
with
summaries as (
    select * from landed_aws_invoices__invoices
),

final as (
    select
        usage_date,
        account,
        account_id as billing_account_id,
        invoice_id,
        original_invoice_id,
        invoice_type,
        invoicing_entity as invoice_issuer,
        billing_entity,
        cast(total_amount as decimal(38, 18)) as payable_cost,
        cast(before_tax_amount as decimal(38, 18)) as before_tax_cost,
        currency as billing_currency,
        cast(payment_amount as decimal(38, 18)) as payment_cost,
        payment_currency,
        exchange_from as exchange_from_currency,
        exchange_to as exchange_to_currency,
        cast(exchange_rate as decimal(38, 18)) as issuer_fx_rate,
        try_cast(issued_on as date) as issued_on_date,
        try_cast(due_on as date) as due_on_date
    from summaries
    where
        invoice_type is distinct from 'PAYMENT_RECEIPT'
        and (receiver_role is null or receiver_role = 'BUYER')
)

select * from final
