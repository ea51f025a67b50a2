-- The lines of bills of the billing months that begin in the period, in their own currency, taxes beside what they are
-- on: books of record only. `bill`: the invoice, or the billing month of what is on none yet. Of an API's bill no line
-- is a tax.
with
cloud as (
    select
        issuer,
        account,
        coalesce(invoice_id, cast(billing_period_start_date as varchar)) as bill,
        billing_currency,
        service,
        sku_meter as meter,
        resource_id,
        charge_category = 'Tax' as is_tax,
        billed_cost
    from int_cloud_charges_daily
    where
        is_book
        -- East of Greenwich a month begins on the UTC day before its first.
        and billing_period_start_date + 1 >= $from_date
        and billing_period_start_date + 1 < $to_date
),

dated_invoice_lines as (
    select
        *,
        cast(
            min(period_start_at) over (partition by source, account, invoice_id) + interval 13 hour as date
        ) as period_date
    from int_gpu_bill_lines
    where is_book
),

invoices as (
    select
        issuer,
        account,
        invoice_id as bill,
        billing_currency,
        cast(null as varchar) as service,
        cast(null as varchar) as meter,
        resource_id,
        charge_kind = 'tax' as is_tax,
        billed_cost
    from dated_invoice_lines
    where period_date >= $from_date and period_date < $to_date
),

lines as (
    select * from cloud
    union all by name
    select * from invoices
)

select
    issuer,
    account,
    bill,
    billing_currency,
    service,
    meter,
    resource_id,
    is_tax,
    sum(billed_cost) as billed_cost
from lines
group by issuer, account, bill, billing_currency, service, meter, resource_id, is_tax
order by all
