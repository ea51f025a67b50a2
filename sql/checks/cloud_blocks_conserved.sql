-- law: capacity_blocks_sum_to_their_fees
-- scope: account
-- partition: none
-- The days of a capacity block cost what its fee was, to the last quantum, once the block is over; before that they
-- cost no more. A fee is spread over the time of its block and no other.
with
days as (
    select
        source,
        account,
        fee_key,
        fee_date,
        count(*) as day_count,
        sum(block_milliseconds) as block_milliseconds,
        sum(block_cost) as block_cost
    from int_capacity_block_days
    group by source, account, fee_key, fee_date
),

known_days as (
    select
        min(day_start_at) as first_day_at,
        max(day_start_at) + interval 1 day as end_at
    from calendar
),

compared as (
    select
        fees.account,
        fees.usage_date,
        fees.billing_currency,
        fees.effective_cost,
        days.block_cost,
        days.block_milliseconds,
        fees.block_start_at >= known_days.first_day_at and fees.block_end_at <= known_days.end_at as is_whole,
        epoch_ms(fees.block_end_at) - epoch_ms(fees.block_start_at) as declared_milliseconds,
        coalesce(fees.reservation_id, 'invoice ' || fees.declared_invoice_id) as block
    from int_capacity_block_fees as fees
    cross join known_days
    left join days
        on
            fees.source = days.source
            and fees.account = days.account
            and fees.fee_key = days.fee_key
            and fees.usage_date = days.fee_date
    where fees.block_count = 1
)

select
    'capacity_blocks_sum_to_their_fees' as law,
    'account:' || account as scope,
    concat(
        'block ', block, ', bought on ', usage_date, ': fee ', coalesce(cast(effective_cost as varchar), 'unknown'),
        ' ', billing_currency, ', its days cost ', coalesce(cast(block_cost as varchar), 'nothing'), ' in ',
        coalesce(block_milliseconds, 0), ' of ', declared_milliseconds, ' ms.'
    ) as detail
from compared
where
    block_milliseconds > declared_milliseconds
    or abs(block_cost) > abs(effective_cost)
    or (
        is_whole
        and (effective_cost is distinct from block_cost or declared_milliseconds is distinct from block_milliseconds)
    )
