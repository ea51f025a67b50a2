-- One row per issuer, account, invoice_id.
-- Each invoice's own total beside its lines, and where the lines' money went so far: GPU resources, or lines that are
-- no GPU's. A residual is shown, never spread. Cloud exports state no total of an invoice: the lines are to be compared
-- with the document.
-- partition: none
with
bill_lines as (
    select * from int_gpu_bill_lines
),

invoice_totals as (
    select * from stg_gpu_bills__totals
),

charges as (
    select * from int_gpu_charges_daily
    where line_number is not null
),

sources as (
    select * from config_sources
),

lines as (
    select
        source,
        account,
        invoice_id,
        min(billing_currency) as billing_currency,
        count(distinct billing_currency) as currency_count,
        cast(min(period_start_at) as date) as period_start_date,
        cast(max(period_end_at) as date) as period_end_date,
        sum(billed_cost) as lines_cost
    from bill_lines
    where is_book
    group by source, account, invoice_id
),

-- Of a control, and of what is not summed, the total is nobody's.
totals as (
    select
        invoice_totals.source,
        invoice_totals.account,
        invoice_totals.invoice_id,
        min(invoice_totals.billing_currency) as billing_currency,
        sum(invoice_totals.payable_cost) as payable_cost
    from invoice_totals
    left join sources
        on invoice_totals.source = sources.source and invoice_totals.account = sources.account
    where
        sources.role is distinct from 'control'
        and not exists (
            select 1
            from bill_lines
            where
                bill_lines.source = invoice_totals.source
                and bill_lines.account = invoice_totals.account
                and bill_lines.invoice_id = invoice_totals.invoice_id
                and not bill_lines.is_book
        )
    group by invoice_totals.source, invoice_totals.account, invoice_totals.invoice_id
),

booked as (
    select
        source,
        account,
        invoice_id,
        sum(case when is_gpu_charge then realized_cost else 0 end) as allocated_cost,
        sum(case when is_gpu_charge then 0 else realized_cost end) as unallocated_cost
    from charges
    group by source, account, invoice_id
),

invoices as (
    select
        source,
        account,
        invoice_id
    from lines
    union
    select
        source,
        account,
        invoice_id
    from totals
),

gpu_invoices as (
    select
        coalesce(sources.issuer, invoices.account) as issuer,
        invoices.account,
        invoices.invoice_id,
        coalesce(lines.billing_currency, totals.billing_currency) as billing_currency,
        lines.period_start_date,
        lines.period_end_date,
        cast(totals.payable_cost as decimal(38, 18)) as payable_cost,
        cast(lines.lines_cost as decimal(38, 18)) as lines_cost,
        cast(totals.payable_cost - lines.lines_cost as decimal(38, 18)) as residual_cost,
        cast(booked.allocated_cost as decimal(38, 18)) as allocated_cost,
        cast(booked.unallocated_cost as decimal(38, 18)) as unallocated_cost,
        case
            when totals.payable_cost is null then 'no_control_total'
            when
                lines.currency_count = 1
                and lines.billing_currency = totals.billing_currency
                and totals.payable_cost = lines.lines_cost
                then 'ties'
            else 'residual'
        end as status
    from invoices
    left join lines
        on
            invoices.source = lines.source
            and invoices.account = lines.account
            and invoices.invoice_id = lines.invoice_id
    left join totals
        on
            invoices.source = totals.source
            and invoices.account = totals.account
            and invoices.invoice_id = totals.invoice_id
    left join booked
        on
            invoices.source = booked.source
            and invoices.account = booked.account
            and invoices.invoice_id = booked.invoice_id
    left join sources
        on invoices.source = sources.source and invoices.account = sources.account
),

cloud_charges as (
    select * from int_cloud_charges_daily
    where is_book and invoice_id is not null
),

-- Amounts of an invoice in several currencies have no sum.
cloud_invoices as (
    select
        invoice_issuer as issuer,
        account,
        invoice_id,
        case when count(distinct billing_currency) = 1 then min(billing_currency) end as billing_currency,
        min(billing_period_start_date) as period_start_date,
        cast(max(billing_period_start_date) + interval 1 month as date) as period_end_date,
        cast(null as decimal(38, 18)) as payable_cost,
        case
            when count(distinct billing_currency) = 1 then cast(sum(billed_cost) as decimal(38, 18))
        end as lines_cost,
        cast(null as decimal(38, 18)) as residual_cost,
        case
            when count(distinct billing_currency) = 1
                then cast(sum(case when is_gpu_resource then billed_cost else 0 end) as decimal(38, 18))
        end as allocated_cost,
        case
            when count(distinct billing_currency) = 1
                then cast(sum(case when is_gpu_resource then 0 else billed_cost end) as decimal(38, 18))
        end as unallocated_cost,
        'no_control_total' as status
    from cloud_charges
    group by invoice_issuer, account, invoice_id
),

final as (
    select * from gpu_invoices
    union all by name
    select * from cloud_invoices
)

select * from final
