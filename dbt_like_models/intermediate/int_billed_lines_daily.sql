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
    select * from int_gpu_bill_lines
    where is_book
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
        false as is_by_lines,
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
        false as is_by_lines,
        billed_cost
    from cloud_charges
    union all
    select
        usage_date,
        source,
        account,
        issuer,
        billing_currency,
        invoice_id,
        cast(period_start_at + interval 13 hour as date) as period_date,
        charge_kind in ('gpu_instance', 'discount', 'credit') and resource_id is not null as is_in_scope,
        true as is_by_lines,
        billed_cost
    from invoice_lines
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
        is_by_lines,
        cast(sum(case when is_in_scope then billed_cost else 0 end) as decimal(38, 18)) as in_scope_cost,
        cast(sum(case when is_in_scope then 0 else billed_cost end) as decimal(38, 18)) as out_of_scope_cost,
        count(*) as line_count,
        count(*) filter (where billed_cost != 0) as charged_line_count
    from stated
    group by usage_date, source, account, issuer, billing_currency, invoice_id, period_date, is_by_lines
)

select * from final
