-- One row per usage_date, source, account, charge_id.
-- Every charge of GPU bills and owned GPUs, booked to the UTC days of its period by milliseconds, exactly: the days of
-- a line sum to the line. Hours billed go to days the same way. A control's lines are not charges. Of cloud bills, what
-- is charged for a declared GPU resource. Lines of a service that is billed by use are charges of the bill, and of no
-- GPU.
-- partition: month
-- lookback: int_gpu_bill_lines 366 days
with
-- A line longer than the days looked back on may have begun before them.
invoice_lines as (
    select * from int_gpu_bill_lines
    where period_end_at <= period_start_at + interval 366 day
    union all by name
    select * from int_gpu_long_invoice_lines
),

owned_charges as (
    select * from stg_owned_gpus__charges
),

sources as (
    select * from config_sources
),

gpu_resources as (
    select * from config_gpu_resources
),

-- Days that exist: a line prepaid beyond the as-of day shows its later days when they come.
days as (
    select * from calendar
),

lines as (
    select invoice_lines.*
    from invoice_lines
    cross join this_partition
    where
        invoice_lines.is_book
        and invoice_lines.period_start_at < cast(this_partition.to_date as timestamp)
        and invoice_lines.period_end_at > cast(this_partition.from_date as timestamp)
),

-- A line that does not say how many GPUs it bills has those agreed for its resource in its period.
agreed_counts as (
    select
        lines.source,
        lines.account,
        lines.invoice_id,
        lines.line_number,
        max(gpu_resources.gpu_count) as gpu_count
    from lines
    inner join gpu_resources
        on
            lines.issuer = gpu_resources.issuer
            and lines.resource_id = gpu_resources.resource_id
            and lines.period_end_at > coalesce(cast(gpu_resources.valid_from_date as timestamp), lines.period_start_at)
            and lines.period_start_at < coalesce(cast(gpu_resources.valid_to_date as timestamp), lines.period_end_at)
    group by lines.source, lines.account, lines.invoice_id, lines.line_number
),

counted_lines as (
    select
        lines.*,
        coalesce(lines.gpu_count, agreed_counts.gpu_count) as known_gpu_count
    from lines
    left join agreed_counts
        on
            lines.source = agreed_counts.source
            and lines.account = agreed_counts.account
            and lines.invoice_id = agreed_counts.invoice_id
            and lines.line_number = agreed_counts.line_number
),

line_days as (
    select
        *,
        unnest(
            range(epoch_ms(period_start_at) // 86400000, (epoch_ms(period_end_at) - 1) // 86400000 + 1)
        ) as day_number
    from counted_lines
),

per_use_days as (
    select distinct
        line_days.source,
        line_days.account,
        line_days.invoice_id,
        line_days.line_number,
        line_days.day_number
    from line_days
    inner join config_per_use_charges as rules
        on
            line_days.account = rules.account
            and (rules.resource_id is null or line_days.resource_id = rules.resource_id)
            and rules.service is null
            and rules.sku is null
            and rules.sub_account_id is null
            and line_days.day_number
            >= coalesce(date_diff('day', date '1970-01-01', rules.valid_from_date), line_days.day_number)
            and line_days.day_number
            < coalesce(date_diff('day', date '1970-01-01', rules.valid_to_date), line_days.day_number + 1)
    where line_days.charge_kind in ('gpu_instance', 'discount', 'credit', 'other')
),

-- A service is billed by use from a day to a day: of a line that is longer, the other days are as the line says.
told_days as (
    select
        line_days.*,
        per_use_days.day_number is not null as is_per_use,
        bool_and(per_use_days.day_number is not null) over (
            partition by line_days.source, line_days.account, line_days.invoice_id, line_days.line_number
        ) as is_all_per_use
    from line_days
    left join per_use_days
        on
            line_days.source = per_use_days.source
            and line_days.account = per_use_days.account
            and line_days.invoice_id = per_use_days.invoice_id
            and line_days.line_number = per_use_days.line_number
            and line_days.day_number = per_use_days.day_number
),

-- The hours a line bills: its own quantity, else its period, times its GPUs. Money given back takes no hours back.
quantities as (
    select
        * replace (case when is_per_use then 'per_use' else charge_kind end as charge_kind),
        charge_kind in ('gpu_instance', 'discount', 'credit')
        and resource_id is not null
        and not is_per_use as is_gpu_charge,
        epoch_ms(period_end_at) - epoch_ms(period_start_at) as period_ms,
        case
            when billed_cost < 0 or quantity < 0 then null
            when is_all_per_use then coalesce(quantity_gpu_milliseconds, quantity_resource_milliseconds)
            when charge_kind != 'gpu_instance' or resource_id is null then null
            when quantity_gpu_milliseconds is not null then quantity_gpu_milliseconds
            when quantity_resource_milliseconds is not null then quantity_resource_milliseconds * known_gpu_count
            else (epoch_ms(period_end_at) - epoch_ms(period_start_at)) * known_gpu_count
        end as line_gpu_ms,
        -- A decimal has always 18 digits after its point: without it, it counts quanta of 10^-18.
        cast(replace(cast(abs(billed_cost) as varchar), '.', '') as hugeint) as quanta
    from told_days
),

weights as (
    select
        *,
        least(epoch_ms(period_end_at), (day_number + 1) * 86400000)
        - greatest(epoch_ms(period_start_at), day_number * 86400000) as day_ms
    from quantities
),

floored as (
    select
        *,
        quanta // period_ms * day_ms + quanta % period_ms * day_ms // period_ms as floor_quanta,
        quanta % period_ms * day_ms % period_ms as quanta_remainder,
        cast(line_gpu_ms as hugeint) * day_ms // period_ms as floor_gpu_ms,
        cast(line_gpu_ms as hugeint) * day_ms % period_ms as gpu_ms_remainder
    from weights
),

-- Leftover units go to the largest remainders, the earlier day first.
ranked as (
    select
        *,
        quanta - sum(floor_quanta) over line as leftover_quanta,
        line_gpu_ms - sum(floor_gpu_ms) over line as leftover_gpu_ms,
        row_number() over (
            partition by source, account, invoice_id, line_number order by quanta_remainder desc, day_number asc
        ) as quanta_rank,
        row_number() over (
            partition by source, account, invoice_id, line_number order by gpu_ms_remainder desc, day_number asc
        ) as gpu_ms_rank
    from floored
    window line as (partition by source, account, invoice_id, line_number)
),

line_charges as (
    select
        make_timestamp_ms(day_number * 86400000) as day_start_at,
        source,
        issuer,
        account,
        invoice_id,
        line_number,
        invoice_id || '#' || line_number as charge_id,
        charge_kind,
        is_gpu_charge,
        resource_id,
        cast(null as varchar) as host,
        known_gpu_count as gpu_count,
        'billed' as cost_measure,
        billing_currency,
        cast(
            floor_gpu_ms + case when gpu_ms_rank <= leftover_gpu_ms then 1 else 0 end as bigint
        ) as gpu_milliseconds,
        case when billed_cost < 0 then -1 else 1 end
        * cast(floor_quanta + case when quanta_rank <= leftover_quanta then 1 else 0 end as decimal(38, 0))
        * cast('0.000000000000000001' as decimal(19, 18)) as realized_cost
    from ranked
),

-- An asset's depreciation, hosting and power pay for the same 24 hours: the hours stand on one of its charges.
owned as (
    select
        cast(owned_charges.usage_date as timestamp) as day_start_at,
        'owned_gpus' as source,
        coalesce(sources.issuer, owned_charges.account) as issuer,
        owned_charges.account,
        cast(null as varchar) as invoice_id,
        cast(null as bigint) as line_number,
        owned_charges.asset_id || '#' || owned_charges.charge_kind as charge_id,
        owned_charges.charge_kind,
        true as is_gpu_charge,
        owned_charges.asset_id as resource_id,
        owned_charges.host,
        owned_charges.gpu_count,
        'effective' as cost_measure,
        owned_charges.billing_currency,
        case
            when
                row_number() over (
                    partition by owned_charges.usage_date, owned_charges.account, owned_charges.asset_id
                    order by owned_charges.charge_kind, owned_charges.billing_currency
                ) = 1
                then owned_charges.gpu_count * 86400000
        end as gpu_milliseconds,
        owned_charges.effective_cost as realized_cost
    from owned_charges
    left join sources
        on sources.source = 'owned_gpus' and owned_charges.account = sources.account
    where sources.role is distinct from 'control'
),

cloud_sums as (
    select
        cast(usage_date as timestamp) as day_start_at,
        source,
        issuer,
        account,
        invoice_id,
        cast(null as bigint) as line_number,
        charge_id,
        charge_kind,
        charge_kind in ('gpu_instance', 'discount', 'credit') as is_gpu_charge,
        resource_id,
        cast(null as varchar) as host,
        gpu_count,
        cost_measure,
        billing_currency,
        gpu_milliseconds as charge_gpu_ms,
        is_part_of_server,
        realized_cost
    from int_cloud_gpu_charges_daily
    where is_declared
),

-- A day's hours of a resource, on demand and committed, are counted together, on one of its charges: the hours of
-- several measures are otherwise taken for the same hours said twice.
cloud_days as (
    select
        * exclude (charge_gpu_ms, is_part_of_server),
        case
            -- Cores and memory have no hours of their own: those of the server are its GPUs', where these are billed.
            when
                charge_gpu_ms is null
                and not (
                    is_part_of_server
                    and count(charge_gpu_ms) over (partition by day_start_at, issuer, resource_id) > 0
                )
                then null
            when
                row_number() over (
                    partition by day_start_at, issuer, resource_id
                    order by
                        charge_gpu_ms is null and not is_part_of_server, cost_measure, account,
                        charge_gpu_ms is null, charge_id
                ) = 1
                then cast(sum(charge_gpu_ms) over (partition by day_start_at, issuer, resource_id) as bigint)
            else 0
        end as gpu_milliseconds
    from cloud_sums
),

united as (
    select * from line_charges
    union all by name
    select * from owned
    union all by name
    select * from cloud_days
),

final as (
    select
        days.usage_date,
        united.source,
        united.account,
        united.charge_id,
        united.issuer,
        united.invoice_id,
        united.line_number,
        united.charge_kind,
        united.is_gpu_charge,
        united.resource_id,
        united.host,
        united.gpu_count,
        united.cost_measure,
        united.billing_currency,
        united.gpu_milliseconds,
        cast(united.realized_cost as decimal(38, 18)) as realized_cost
    from united
    inner join days
        on united.day_start_at = days.day_start_at
    cross join this_partition
    where days.usage_date >= this_partition.from_date and days.usage_date < this_partition.to_date
)

select * from final
