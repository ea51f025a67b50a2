-- One row per usage_date, host, gpu_uuid, conflict.
-- Time of which two feeds about one GPU tell what cannot both be so, by GPU and day, with the feeds: the same
-- milliseconds as in the state `conflict`. None of it is called idle, or useful.
-- partition: month, days apart
with
hourly_states as (
    select * from int_gpu_states_hourly
    where state = 'conflict'
),

final as (
    select
        usage_date,
        host,
        gpu_uuid,
        conflict,
        case conflict
            when 'utilization_and_profiling' then 'utilization says kernels ran, profiling says none did'
            when 'tokens_and_activity' then 'engine counters moved, the GPU says that nothing ran'
            else 'engine counters moved, the GPU''s power is that of waiting'
        end as feeds,
        count(distinct usage_hour_at) as hour_count,
        cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
        sum(gpu_milliseconds) / 3600000 as gpu_hours
    from hourly_states
    group by usage_date, host, gpu_uuid, conflict
)

select * from final
