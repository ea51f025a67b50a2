-- One row per usage_date, source, account, invoice_id, line_number.
-- Lines of GPU bills with their types: money exact, periods in UTC with an exclusive end, hours as integer
-- milliseconds.
-- partition: month
with
invoice_lines as (
    select * from landed_gpu_bills__lines
),

typed as (
    select
        usage_date,
        source,
        account,
        bucket,
        invoice_id,
        line_number,
        description as charge_description,
        charge_kind,
        resource_id,
        cast(cast(gpu_count as decimal(38, 18)) as bigint) as gpu_count,
        cast(quantity as decimal(38, 18)) as quantity,
        unit as raw_unit,
        regexp_replace(lower(trim(unit)), '[^a-z]', '', 'g') as unit_letters,
        cast(unit_price as decimal(38, 18)) as unit_price,
        cast(amount as decimal(38, 18)) as billed_cost,
        currency as billing_currency,
        -- A line that names no period is a charge of its own day.
        case
            when cast(period_end as timestamp) > cast(period_start as timestamp) then cast(period_start as timestamp)
            else cast(usage_date as timestamp)
        end as period_start_at,
        case
            when cast(period_end as timestamp) > cast(period_start as timestamp) then cast(period_end as timestamp)
            else cast(usage_date as timestamp) + interval 1 day
        end as period_end_at
    from invoice_lines
),

timed as (
    select
        *,
        case
            when unit_letters in ('hour', 'hours', 'hr', 'hrs', 'h') then 3600000
            when unit_letters in ('instancehour', 'instancehours', 'nodehour', 'nodehours') then 3600000
            when unit_letters in ('gpuhour', 'gpuhours', 'gpuhr', 'gpuhrs') then 3600000
            when unit_letters in ('minute', 'minutes', 'min', 'gpuminute', 'gpuminutes') then 60000
            when unit_letters in ('second', 'seconds', 's', 'gpusecond', 'gpuseconds') then 1000
        end as milliseconds_per_unit,
        unit_letters like 'gpu%' as is_gpu_unit
    from typed
),

final as (
    select
        usage_date,
        source,
        account,
        bucket,
        invoice_id,
        line_number,
        charge_description,
        charge_kind,
        resource_id,
        gpu_count,
        quantity,
        raw_unit,
        unit_price,
        billed_cost,
        billing_currency,
        period_start_at,
        period_end_at,
        -- Which of the two a quantity in hours means is the unit's to say: GPU-hours, or hours of the whole resource.
        -- More than 30,000 years of GPUs, or 300 of a resource, is no time of an invoice: it is unknown.
        case
            when is_gpu_unit and abs(quantity) < 1000000000000000 // milliseconds_per_unit
                then cast(round(quantity * milliseconds_per_unit) as bigint)
        end as quantity_gpu_milliseconds,
        case
            when not is_gpu_unit and abs(quantity) < 10000000000000 // milliseconds_per_unit
                then cast(round(quantity * milliseconds_per_unit) as bigint)
        end as quantity_resource_milliseconds
    from timed
)

select * from final
