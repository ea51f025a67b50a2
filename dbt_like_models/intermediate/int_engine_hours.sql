-- One row per usage_date, host, gpu_uuid, usage_hour_at, target.
-- How long each engine served, was loaded without a request, or was starting on each GPU: its parts of the GPU's time,
-- hour by hour.
-- partition: day, days apart
-- rows of: int_gpu_shares_interval
with
gpu_shares as (
    select * from int_gpu_shares_interval
),

final as (
    select
        usage_date,
        host,
        gpu_uuid,
        date_trunc('hour', from_at) as usage_hour_at,
        target,
        cast(sum(case when state = 'serving' then gpu_milliseconds else 0 end) as bigint) as serving_milliseconds,
        cast(sum(case when state = 'loaded_idle' then gpu_milliseconds else 0 end) as bigint)
            as loaded_idle_milliseconds,
        cast(sum(case when state = 'starting' then gpu_milliseconds else 0 end) as bigint) as starting_milliseconds
    from gpu_shares
    group by usage_date, host, gpu_uuid, date_trunc('hour', from_at), target
)

select * from final
