-- Of each issuer and currency of the period's bills three lines: first those of exactly what an invoice is off by (that
-- line is missing from one side, or is there twice), then the largest.
with
dated_invoice_lines as (
    select
        *,
        cast(
            min(period_start_at) over (partition by source, account, invoice_id) + interval 13 hour as date
        ) as period_date
    from int_gpu_bill_lines
    where is_book
),

lines as (
    select
        issuer,
        account,
        billing_currency,
        usage_date,
        concat_ws(', ', model, token_class, charge_kind, sub_account_id) as what,
        billed_cost
    from int_api_charges_daily
    where is_book and usage_date >= $from_date and usage_date < $to_date
    union all
    select
        coalesce(invoice_issuer, issuer) as issuer,
        account,
        billing_currency,
        usage_date,
        concat_ws(', ', charge_category, service, sku_meter, resource_id, invoice_id) as what,
        billed_cost
    from int_cloud_charges_daily
    where is_book and billing_period_start_date + 1 >= $from_date and billing_period_start_date + 1 < $to_date
    union all
    select
        issuer,
        account,
        billing_currency,
        usage_date,
        concat_ws(', ', invoice_id, concat('row ', line_number), charge_kind, resource_id, charge_description) as what,
        billed_cost
    from dated_invoice_lines
    where period_date >= $from_date and period_date < $to_date
),

off as (
    select distinct
        issuer,
        billing_currency,
        abs(residual_cost) as off_cost
    from fct_invoices_monthly
    where status = 'residual' and billing_month_date >= $from_date and billing_month_date < $to_date
),

ranked as (
    select
        lines.*,
        off.off_cost is not null as is_exactly_off,
        row_number() over (
            partition by lines.issuer, lines.billing_currency
            order by
                off.off_cost is null asc, abs(lines.billed_cost) desc, lines.usage_date asc, lines.account asc,
                lines.what asc
        ) as place
    from lines
    left join off
        on
            lines.issuer = off.issuer
            and lines.billing_currency = off.billing_currency
            and abs(lines.billed_cost) = off.off_cost
)

select
    issuer,
    billing_currency,
    usage_date,
    what,
    billed_cost,
    is_exactly_off
from ranked
where place <= 3
order by issuer, billing_currency, place
