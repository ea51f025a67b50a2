-- One row per usage_date, account, host, gpu_uuid, usage_hour_at.
-- What dcgm-exporter's samples prove about each GPU, by hour: the time between them, never their count. A GPU whose
-- profiling fields stand still is busy all the same while its kernel time moves; one that is cut into MIG instances is
-- busy while any of them is. Its processes are not visible here: it is held where it is used or its memory is. A sample
-- that states no activity at all observes nothing: memory alone says neither busy nor idle.
-- partition: day
with
gpu_samples as (
    select
        *,
        coalesce(node, hostname, regexp_replace(instance, ':[0-9]+$', ''), 'unknown') as host
    from landed_prometheus__gpu_samples
),

readings as (
    select
        gpu_samples.usage_date,
        gpu_samples.account,
        gpu_samples.host,
        gpu_samples.gpu_uuid,
        epoch_ms(gpu_samples.at) as to_ms,
        least(max(gpu_samples.interval_ms), 900000) as interval_ms,
        coalesce(
            bool_or(
                gpu_samples.util_gpu_pct > 0 or gpu_samples.gr_engine_active_ppm > 0 or gpu_samples.sm_active_ppm > 0
            ),
            false
        ) as is_busy,
        coalesce(
            bool_or(
                gpu_samples.util_gpu_pct > 0
                or gpu_samples.gr_engine_active_ppm > 0
                or gpu_samples.sm_active_ppm > 0
                or gpu_samples.memory_used_bytes > 2147483648
            ),
            false
        ) as is_held,
        coalesce(max(gpu_samples.util_gpu_pct) >= 90, false)
        and coalesce(
            greatest(max(gpu_samples.gr_engine_active_ppm), max(gpu_samples.sm_active_ppm)) = 0, false
        ) as is_contradicted,
        coalesce(max(gpu_samples.util_gpu_pct) = 0, false)
        and coalesce(
            greatest(max(gpu_samples.gr_engine_active_ppm), max(gpu_samples.sm_active_ppm)), 0
        ) = 0 as is_quiet,
        -- NVML, which dcgm-exporter asks, states it in 32 bits.
        max(gpu_samples.power_milliwatts) filter (where gpu_samples.power_milliwatts between 0 and 4294967295)
            as power_milliwatts
    from gpu_samples
    where
        gpu_samples.interval_ms > 0
        and (
            gpu_samples.util_gpu_pct is not null
            or gpu_samples.gr_engine_active_ppm is not null
            or gpu_samples.sm_active_ppm is not null
        )
    group by
        gpu_samples.usage_date,
        gpu_samples.account,
        gpu_samples.host,
        gpu_samples.gpu_uuid,
        epoch_ms(gpu_samples.at)
),

-- A sample vouches for its own interval, and for no instant that the one before it vouched for.
intervals as (
    select
        *,
        greatest(
            to_ms - interval_ms, lag(to_ms) over (partition by account, gpu_uuid order by to_ms)
        ) as from_ms
    from readings
),

hour_parts as (
    select
        *,
        from_ms // 3600000 as hour_number,
        least(to_ms, (from_ms // 3600000 + 1) * 3600000) - from_ms as part_ms,
        from_ms as part_from_ms,
        least(to_ms, (from_ms // 3600000 + 1) * 3600000) as part_to_ms
    from intervals
    where to_ms > from_ms
    union all
    select
        *,
        from_ms // 3600000 + 1 as hour_number,
        to_ms - (from_ms // 3600000 + 1) * 3600000 as part_ms,
        (from_ms // 3600000 + 1) * 3600000 as part_from_ms,
        to_ms as part_to_ms
    from intervals
    where to_ms > (from_ms // 3600000 + 1) * 3600000
),

-- No held or busy sample in an observed hour is a measured 0, not a missing reading.
final as (
    select
        usage_date,
        account,
        host,
        gpu_uuid,
        cast(null as varchar) as boot_id,
        cast(null as varchar) as provider_resource_id,
        make_timestamp_ms(hour_number * 3600000) as usage_hour_at,
        make_timestamp_ms(min(part_from_ms)) as first_observed_at,
        make_timestamp_ms(max(part_to_ms)) as last_observed_at,
        cast(sum(part_ms) as bigint) as observed_milliseconds,
        cast(sum(part_ms) as bigint) as healthy_milliseconds,
        cast(coalesce(sum(part_ms) filter (where is_held), 0) as bigint) as held_milliseconds,
        cast(coalesce(sum(part_ms) filter (where is_busy), 0) as bigint) as busy_milliseconds,
        cast(coalesce(sum(part_ms) filter (where is_contradicted), 0) as bigint) as contradicted_milliseconds,
        cast(coalesce(sum(part_ms) filter (where is_quiet), 0) as bigint) as quiet_milliseconds,
        cast(coalesce(sum(part_ms) filter (where power_milliwatts is not null), 0) as bigint)
            as powered_milliseconds,
        cast(sum(part_ms * power_milliwatts) as bigint) as energy_microjoules
    from hour_parts
    group by usage_date, account, host, gpu_uuid, hour_number
)

select * from final
