-- One row per usage_date, source, account, issuer, billing_currency, invoice_id, period_date.
-- What bills charge a day, books of record only, each line once: what is an API's or stands on a declared GPU resource
-- (in scope), and all else. `period_date` is a day inside the billing period; of an invoice by lines, of the line.
-- partition: month
with
api_charges as (
    select * from int_api_charges_daily
    where is_book
),

-- Days of a capacity block are no lines of a bill: its fee is.
cloud_charges as (
    select * from int_cloud_charges_daily
    where is_book and not (line_count = 0 and billed_cost = 0 and commitment_discount_status is null)
),

invoice_lines as (
    select * from stg_invoice_csv__lines
),

sources as (
    select * from config_sources
    where source = 'invoice_csv'
),

stated as (
    select
        usage_date,
        source,
        account,
        issuer,
        billing_currency,
        cast(null as varchar) as invoice_id,
        usage_date as period_date,
        true as is_in_scope,
        billed_cost
    from api_charges
    union all
    -- East of Greenwich a month begins on the UTC day before its first.
    select
        usage_date,
        source,
        account,
        coalesce(invoice_issuer, issuer) as issuer,
        billing_currency,
        invoice_id,
        billing_period_start_date + 1 as period_date,
        is_gpu_resource as is_in_scope,
        billed_cost
    from cloud_charges
    union all
    select
        invoice_lines.usage_date,
        'invoice_csv' as source,
        invoice_lines.account,
        coalesce(sources.issuer, invoice_lines.account) as issuer,
        invoice_lines.billing_currency,
        invoice_lines.invoice_id,
        cast(invoice_lines.period_start_at + interval 13 hour as date) as period_date,
        invoice_lines.charge_kind in ('gpu_instance', 'discount', 'credit')
        and invoice_lines.resource_id is not null as is_in_scope,
        invoice_lines.billed_cost
    from invoice_lines
    left join sources
        on invoice_lines.account = sources.account
    where sources.role is distinct from 'control'
),

final as (
    select
        usage_date,
        source,
        account,
        issuer,
        billing_currency,
        invoice_id,
        period_date,
        cast(sum(case when is_in_scope then billed_cost else 0 end) as decimal(38, 18)) as in_scope_cost,
        cast(sum(case when is_in_scope then 0 else billed_cost end) as decimal(38, 18)) as out_of_scope_cost,
        count(*) as line_count,
        count(*) filter (where billed_cost != 0) as charged_line_count
    from stated
    group by usage_date, source, account, issuer, billing_currency, invoice_id, period_date
)

select * from final
