-- One row per usage_date, source, account, fee_key, fee_date.
-- What a capacity block costs a day while it lasts: its fee by the milliseconds of the block in that UTC day, exactly,
-- so that its days add up to the fee. Nothing of it is billed on these days: the fee was, when the block was bought.
-- Days are shown as they come.
-- partition: month
with
fees as (
    select * from int_capacity_block_fees
    where block_count = 1
),

-- Days that exist: those of a block that are still to come show when they do.
days as (
    select * from calendar
),

block_days as (
    select
        *,
        unnest(
            range(epoch_ms(block_start_at) // 86400000, (epoch_ms(block_end_at) - 1) // 86400000 + 1)
        ) as day_number,
        epoch_ms(block_end_at) - epoch_ms(block_start_at) as block_ms,
        -- A decimal has always 18 digits after its point: without it, it counts quanta of 10^-18.
        cast(replace(cast(abs(effective_cost) as varchar), '.', '') as hugeint) as quanta
    from fees
),

weights as (
    select
        *,
        least(epoch_ms(block_end_at), (day_number + 1) * 86400000)
        - greatest(epoch_ms(block_start_at), day_number * 86400000) as day_ms
    from block_days
),

floored as (
    select
        *,
        quanta // block_ms * day_ms + quanta % block_ms * day_ms // block_ms as floor_quanta,
        quanta % block_ms * day_ms % block_ms as quanta_remainder
    from weights
),

-- Leftover units go to the largest remainders, the earlier day first.
ranked as (
    select
        *,
        quanta - sum(floor_quanta) over fee as leftover_quanta,
        row_number() over (
            partition by usage_date, source, account, fee_key order by quanta_remainder desc, day_number asc
        ) as quanta_rank
    from floored
    window fee as (partition by usage_date, source, account, fee_key)
),

split as (
    select
        days.usage_date,
        ranked.source,
        ranked.account,
        ranked.fee_key,
        ranked.usage_date as fee_date,
        ranked.billing_account_id,
        ranked.invoice_issuer,
        ranked.sub_account_id,
        ranked.service,
        ranked.sku,
        -- Hours of the reservation, as other hours of one are called: an instance in it is metered besides, at nothing.
        concat_ws(': ', 'Reservation', ranked.sku_meter) as sku_meter,
        ranked.region_id,
        ranked.resource_id,
        ranked.billing_currency,
        cast(ranked.day_ms as bigint) as block_milliseconds,
        case when ranked.effective_cost < 0 then -1 else 1 end
        * cast(
            ranked.floor_quanta
            + case when ranked.quanta_rank <= ranked.leftover_quanta then 1 else 0 end as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as block_cost
    from ranked
    inner join days
        on make_timestamp_ms(ranked.day_number * 86400000) = days.day_start_at
    cross join this_partition
    where days.usage_date >= this_partition.from_date and days.usage_date < this_partition.to_date
),

final as (
    select * replace (cast(block_cost as decimal(38, 18)) as block_cost)
    from split
)

select * from final
