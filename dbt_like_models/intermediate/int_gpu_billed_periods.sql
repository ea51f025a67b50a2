-- One row per account, period_start_at.
-- Spans of time for which an account's GPUs have been billed: a resource that no line names there was not billed. Only
-- lines count whose period was over when the invoice was stated, not what is paid ahead, nor storage, support, tax or
-- credits: they say nothing of another GPU.
-- partition: none
with
invoice_lines as (
    select * from int_gpu_bill_lines
),

statements as (
    select
        source,
        account,
        bucket,
        max(stated_at) as stated_at
    from landed_coverage
    group by source, account, bucket
),

-- The stamp of a statement may be a date alone: the day is left to it.
invoices as (
    select
        invoice_lines.source,
        invoice_lines.account,
        invoice_lines.invoice_id,
        min(invoice_lines.period_start_at) as period_start_at,
        max(invoice_lines.period_end_at) as period_end_at
    from invoice_lines
    inner join statements
        on
            invoice_lines.source = statements.source
            and invoice_lines.account = statements.account
            and invoice_lines.bucket = statements.bucket
    where
        invoice_lines.charge_kind in ('gpu_instance', 'other')
        and invoice_lines.period_end_at <= statements.stated_at + interval 1 day
    group by invoice_lines.source, invoice_lines.account, invoice_lines.bucket, invoice_lines.invoice_id
),

-- Invoices that meet or overlap are one span: a day that two of them share is billed whole.
reached as (
    select
        *,
        max(period_end_at) over (
            partition by account order by period_start_at, source, invoice_id, period_end_at
            rows between unbounded preceding and 1 preceding
        ) as reached_at
    from invoices
),

numbered as (
    select
        *,
        count(*) filter (where reached_at is null or period_start_at > reached_at) over (
            partition by account order by period_start_at, source, invoice_id, period_end_at
        ) as span_number
    from reached
),

final as (
    select
        account,
        min(period_start_at) as period_start_at,
        max(period_end_at) as period_end_at
    from numbered
    group by account, span_number
)

select * from final
