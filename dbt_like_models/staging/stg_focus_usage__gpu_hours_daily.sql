-- One row per usage_date, account, resource_id, is_gpu_time.
-- Hours of GPUs, or of instances, that an export without cost says were used. Other units are no GPU time; a sum below
-- zero, or of what is no resource's time (a thousand years in hours), is unknown.
-- partition: month
with
stated as (
    select
        usage_date,
        account,
        resource_id,
        regexp_matches(lower(unit), 'gpu') as is_gpu_time,
        cast(quantity as decimal(38, 18)) as quantity
    from landed_focus_usage__usage
    where regexp_matches(lower(unit), '^(gpu[ _-]*|instance[ _-]*|node[ _-]*)?(hours?|hrs?)$')
),

summed as (
    select
        usage_date,
        account,
        resource_id,
        is_gpu_time,
        -- A sum of decimals that is too large for its type begins anew below zero: no line of it may be near.
        sum(case when abs(quantity) < 10000000 then quantity end) as quantity,
        count(case when abs(quantity) >= 10000000 then 1 end) as impossible_count,
        count(*) as line_count
    from stated
    group by usage_date, account, resource_id, is_gpu_time
),

final as (
    select
        usage_date,
        account,
        resource_id,
        is_gpu_time,
        cast(
            case
                when impossible_count = 0 and quantity >= 0 and quantity < 10000000 then round(quantity * 3600000)
            end as bigint
        ) as used_milliseconds,
        line_count
    from summed
)

select * from final
