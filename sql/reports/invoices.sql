-- Each source of invoices, whatever the period: its last invoice, up to when that bills, and whether it adds up.
with
sources as (
    select
        account,
        issuer,
        role,
        source
    from dim_source
    where is_invoice
),

-- One that states a total and has no line is an invoice too.
line_counts as (
    select
        source,
        account,
        invoice_id,
        cast(sum(line_count) as bigint) as line_count
    from (
        select
            source,
            account,
            invoice_id,
            1 as line_count
        from stg_gpu_bills__lines
        union all
        select
            source,
            account,
            invoice_id,
            0 as line_count
        from stg_gpu_bills__totals
    ) as stated
    group by source, account, invoice_id
),

-- Cloud exports name invoices too: those are told by their days.
reconciled as (
    select
        invoices.*,
        line_counts.source,
        line_counts.line_count,
        count(*) over source_of as invoice_count,
        count(*) filter (where invoices.status = 'residual') over source_of as residual_count,
        row_number() over (
            partition by line_counts.source, invoices.account
            order by
                invoices.period_end_date desc nulls last,
                invoices.period_start_date desc nulls last,
                invoices.invoice_id desc
        ) as place
    from fct_reconciliation_invoice as invoices
    inner join line_counts
        on invoices.account = line_counts.account and invoices.invoice_id = line_counts.invoice_id
    window source_of as (partition by line_counts.source, invoices.account)
)

select
    sources.source,
    sources.account,
    coalesce(reconciled.issuer, sources.issuer) as issuer,
    sources.role,
    coalesce(reconciled.invoice_count, 0) as invoice_count,
    reconciled.invoice_id as last_invoice_id,
    reconciled.period_start_date,
    reconciled.period_end_date,
    reconciled.line_count,
    reconciled.billing_currency,
    reconciled.lines_cost,
    reconciled.payable_cost,
    reconciled.residual_cost,
    case
        when sources.role = 'control' then 'control'
        else coalesce(reconciled.status, 'none_landed')
    end as status,
    coalesce(reconciled.residual_count, 0) as residual_count
from sources
left join reconciled
    on sources.source = reconciled.source and sources.account = reconciled.account and reconciled.place = 1
order by sources.source, sources.account
