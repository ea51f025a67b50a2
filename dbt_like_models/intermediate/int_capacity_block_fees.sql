-- One row per usage_date, source, account, fee_key, block_start_at, block_end_at.
-- Fees that AWS bills for a capacity block when it is bought, each with the period that breakeven.yaml declares for it:
-- the fee's line states none. A line is a block's by its reservation, which is its resource's id or the end of its ARN,
-- by its invoice, or by both. `block_count`: how many blocks claim the fee; one that several claim is nobody's. What
-- begins before the first day that is known, or a year after the fee, is a slip of whoever declared it: on days that
-- nobody sees the cost would be lost.
-- partition: none
with
fees as (
    select
        *,
        cast(
            to_json([
                billing_account_id, cast(billing_period_start_date as varchar), invoice_id, invoice_issuer,
                sub_account_id, service, sku, sku_meter, charge_class, region_id, resource_id, billing_currency
            ]) as varchar
        ) as fee_key
    from stg_aws_cur2__charges_daily
    where charge_category = 'Purchase' and commitment_discount_id is null
),

blocks as (
    select * from config_capacity_blocks
),

known_days as (
    select min(day_start_at) as first_day_at
    from calendar
),

final as (
    select
        fees.usage_date,
        fees.source,
        fees.account,
        fees.fee_key,
        blocks.block_start_at,
        blocks.block_end_at,
        count(*) over (
            partition by fees.usage_date, fees.source, fees.account, fees.fee_key
        ) as block_count,
        blocks.reservation_id,
        blocks.invoice_id as declared_invoice_id,
        fees.billing_account_id,
        fees.invoice_id,
        fees.invoice_issuer,
        fees.sub_account_id,
        fees.service,
        fees.sku,
        fees.sku_meter,
        fees.region_id,
        fees.resource_id,
        fees.billing_currency,
        fees.effective_cost
    from fees
    inner join blocks
        on
            fees.account = blocks.account
            and (
                blocks.reservation_id is null
                or fees.resource_id = blocks.reservation_id
                or ends_with(fees.resource_id, '/' || blocks.reservation_id)
            )
            and (blocks.invoice_id is null or fees.invoice_id = blocks.invoice_id)
            and blocks.block_start_at < fees.usage_date + interval 1 year
    inner join known_days
        on blocks.block_start_at >= known_days.first_day_at
)

select * from final
