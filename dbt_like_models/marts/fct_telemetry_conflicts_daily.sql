-- One row per usage_date, host, gpu_uuid, conflict.
-- Hours in which two feeds about one GPU cannot both be right, by GPU and day: kernels ran nearly all the time and
-- profiling saw none, for half of an hour; or an engine's tokens moved for half of an hour in which its GPU did
-- nothing. None of it is called idle: the tokens, or the kernels, say that it was not.
-- partition: month
with
engine_hours as (
    select * from int_engine_hours
),

hours as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        observed_milliseconds as observed_ms,
        contradicted_milliseconds as contradicted_ms,
        quiet_milliseconds as quiet_ms
    from int_gpu_seen_hours
),

served as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        sum(serving_milliseconds) as serving_ms
    from engine_hours
    group by host, gpu_uuid, usage_hour_at
),

conflicts as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        'utilization_and_profiling' as conflict,
        'utilization says kernels ran, profiling says none did' as feeds,
        contradicted_ms as conflict_ms
    from hours
    where contradicted_ms >= 1800000
    union all
    select
        hours.host,
        hours.gpu_uuid,
        hours.usage_hour_at,
        'tokens_and_activity' as conflict,
        'engine counters moved, the GPU says that nothing ran' as feeds,
        least(served.serving_ms, hours.quiet_ms) as conflict_ms
    from hours
    inner join served
        on
            hours.host = served.host
            and hours.gpu_uuid = served.gpu_uuid
            and hours.usage_hour_at = served.usage_hour_at
    where served.serving_ms >= 1800000 and hours.quiet_ms >= 1800000 and hours.quiet_ms * 10 >= hours.observed_ms * 9
),

final as (
    select
        cast(usage_hour_at as date) as usage_date,
        host,
        gpu_uuid,
        conflict,
        min(feeds) as feeds,
        count(*) as hour_count,
        cast(sum(conflict_ms) as bigint) as gpu_milliseconds,
        sum(conflict_ms) / 3600000 as gpu_hours
    from conflicts
    group by cast(usage_hour_at as date), host, gpu_uuid, conflict
)

select * from final
