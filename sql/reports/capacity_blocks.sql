-- Fees that declared capacity blocks claim, each with how many claim it; and fees of capacity reservations that none
-- does (block_count 0): these cost all that they are on the day on which they are billed.
select
    account,
    reservation_id,
    declared_invoice_id as invoice_id,
    block_start_at,
    usage_date as fee_date,
    block_count,
    effective_cost as fee_cost,
    billing_currency,
    concat_ws(', ', service, sku_meter) as fee_of
from int_capacity_block_fees
union all
select
    account,
    resource_id as reservation_id,
    invoice_id,
    null as block_start_at,
    usage_date as fee_date,
    0 as block_count,
    billed_cost as fee_cost,
    billing_currency,
    concat_ws(', ', service, sku_meter) as fee_of
from fct_cloud_charges_daily
where
    source in ('aws_cur', 'aws_cur2')
    and is_book
    and charge_category = 'Purchase'
    and commitment_discount_id is null
    and billed_cost > 0
    and effective_cost = billed_cost
    and usage_date >= $from_date
    and usage_date < $to_date
    and regexp_matches(resource_id, '(^|/)cr-[0-9a-f]+$')
order by
    block_count, account, reservation_id nulls last, invoice_id nulls last, block_start_at nulls last, fee_date,
    fee_cost, billing_currency, fee_of
