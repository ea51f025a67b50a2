-- One row per usage_date, source, account, invoice_id.
-- The control total each invoice states about itself: what its lines must add up to.
-- partition: month
with
invoice_totals as (
    select * from landed_gpu_bills__totals
),

final as (
    select
        usage_date,
        source,
        account,
        invoice_id,
        cast(total_amount as decimal(38, 18)) as payable_cost,
        currency as billing_currency,
        try_cast(issued_on as date) as issued_on_date,
        cast(cast(period_start as timestamp) as date) as period_start_date,
        cast(cast(period_end as timestamp) as date) as period_end_date
    from invoice_totals
)

select * from final
