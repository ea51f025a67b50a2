-- One row per usage_date, account, resource_id, billing_month_date, is_gpu_time.
-- Hours of GPUs, or of instances, that an export without cost says were used: those that the price is of, else those
-- consumed. Other units are no GPU time, and what was bought is not used; a sum that is no resource's time (a thousand
-- years in hours) is unknown.
-- partition: month
with
landed as (
    select
        *,
        pricing_quantity is not null
        and coalesce(
            regexp_matches(lower(pricing_unit), '^(gpu[ _-]*|instance[ _-]*|node[ _-]*)?(hours?|hrs?)$'), false
        ) as is_priced
    from landed_focus_usage__usage
    where charge_category is null or charge_category = 'Usage'
),

chosen as (
    select
        usage_date,
        account,
        resource_id,
        billing_month as billing_month_date,
        lower(case when is_priced then pricing_unit else unit end) as unit,
        cast(case when is_priced then pricing_quantity else quantity end as decimal(38, 18)) as quantity
    from landed
),

stated as (
    select
        *,
        regexp_matches(unit, 'gpu') as is_gpu_time
    from chosen
    where regexp_matches(unit, '^(gpu[ _-]*|instance[ _-]*|node[ _-]*)?(hours?|hrs?)$')
),

summed as (
    select
        usage_date,
        account,
        resource_id,
        billing_month_date,
        is_gpu_time,
        -- A sum of decimals that is too large for its type begins anew below zero: no line of it may be near.
        sum(case when quantity < 10000000 then quantity end) as quantity,
        count(case when quantity >= 10000000 then 1 end) as impossible_count,
        count(*) as line_count
    from stated
    group by usage_date, account, resource_id, billing_month_date, is_gpu_time
),

final as (
    select
        usage_date,
        account,
        resource_id,
        billing_month_date,
        is_gpu_time,
        cast(
            case when impossible_count = 0 and quantity < 10000000 then quantity end as decimal(38, 18)
        ) as used_hours,
        cast(
            case when impossible_count = 0 and quantity < 10000000 then round(quantity * 3600000) end as bigint
        ) as used_milliseconds,
        line_count
    from summed
)

select * from final
