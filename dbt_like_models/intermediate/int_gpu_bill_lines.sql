-- One row per usage_date, source, account, invoice_id, line_number.
-- Lines of GPU bills with whose they are. `is_book` marks those that are summed: of an issuer, account and month those
-- of one source, which is no control.
-- partition: month
with
lines as (
    select * from stg_gpu_bills__lines
),

-- What yields lines of GPU bills has one dataset.
sources as (
    select * from config_sources
),

owned as (
    select
        lines.*,
        coalesce(sources.issuer, lines.account) as issuer,
        coalesce(sources.role, 'book') as role,
        -- One that was taken out of breakeven.yaml goes after one that is there.
        case when sources.source is null then '1 ' else '0 ' end || lines.source as precedence
    from lines
    left join sources
        on lines.source = sources.source and lines.account = sources.account
),

-- Two books of one month are a configuration error that a check names; one of them is summed, never both.
books as (
    select
        issuer,
        account,
        date_trunc('month', usage_date) as usage_month,
        min(precedence) as book_precedence
    from owned
    where role = 'book'
    group by issuer, account, date_trunc('month', usage_date)
),

final as (
    select
        owned.usage_date,
        owned.source,
        owned.account,
        owned.issuer,
        owned.role,
        owned.role = 'book' and owned.precedence = books.book_precedence as is_book,
        owned.bucket,
        owned.invoice_id,
        owned.line_number,
        owned.charge_description,
        owned.charge_kind,
        owned.resource_id,
        owned.gpu_count,
        owned.quantity,
        owned.raw_unit,
        owned.unit_price,
        owned.billed_cost,
        owned.billing_currency,
        owned.period_start_at,
        owned.period_end_at,
        owned.quantity_gpu_milliseconds,
        owned.quantity_resource_milliseconds
    from owned
    left join books
        on
            owned.issuer = books.issuer
            and owned.account = books.account
            and date_trunc('month', owned.usage_date) = books.usage_month
)

select * from final
