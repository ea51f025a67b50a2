-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id, usage_hour_at.
-- What the samples prove about each GPU, by hour: the time their intervals cover, never their count. The bulk rows are
-- read here and nowhere else, in one plain aggregate; only hours that two agents cover, or that claim to cover more
-- time than passed, go through a sort. A sample's last seconds may fall on the next day: usage_hour_at says so.
-- Of a GPU in MIG a sample holds as much of its time as the slices are that something is on.
-- partition: day, days apart
with
-- Read twice, and the second time for contested hours alone: kept in memory it would be most of what a build takes.
gpu_samples as not materialized (
    select * from landed_nvml_spool__gpu_samples
),

-- What a healthy sample proves, as one small number: six sums that each look at every row for themselves take most of
-- what a build takes. 0 is a GPU that is not healthy.
activities as (
    select
        activity,
        activity > 0 as is_healthy,
        activity in (1, 2, 3, 5) as is_held,
        activity in (1, 2) as is_busy,
        activity = 1 as is_contradicted,
        activity in (3, 4) as is_quiet
    from (select cast(unnest(range(7)) as utinyint) as activity) as numbers
),

-- A sample vouches for its own interval and for no more than 15 minutes: an agent that slept has seen nothing.
-- One that states neither activity nor processes proves nothing: memory alone says neither busy nor idle (MIG). NULL
-- readings make these tests NULL, which count as no evidence.
intervals as not materialized (
    select
        gpu_samples.usage_date,
        gpu_samples.host,
        gpu_samples.gpu_uuid,
        gpu_samples.boot_id,
        gpu_samples.provider_resource_id,
        gpu_samples.agent_start_id,
        gpu_samples.sequence_number,
        gpu_samples.mig_held_ppm,
        epoch_ms(gpu_samples.at) - least(gpu_samples.interval_ms, 900000) as from_ms,
        epoch_ms(gpu_samples.at) as to_ms,
        -- NVML states it in 32 bits: anything else is a damaged record, and more than a sum of them could hold.
        case when gpu_samples.power_milliwatts between 0 and 4294967295 then gpu_samples.power_milliwatts end
            as power_milliwatts,
        greatest(gpu_samples.util_gpu_pct, gpu_samples.sm_active_ppm) > 0 as is_busy,
        greatest(
            gpu_samples.util_gpu_pct,
            gpu_samples.sm_active_ppm,
            coalesce(
                gpu_samples.compute_process_count, case when gpu_samples.memory_used_bytes > 2147483648 then 1 end
            )
        ) > 0 as is_held,
        gpu_samples.util_gpu_pct = 0 and coalesce(gpu_samples.sm_active_ppm, 0) = 0 as is_quiet,
        cast(
            case
                when gpu_samples.health != 'ok' then 0
                when is_busy and gpu_samples.util_gpu_pct >= 90 and gpu_samples.sm_active_ppm = 0 then 1
                when is_busy then 2
                when is_quiet and is_held then 3
                when is_quiet then 4
                when is_held then 5
                else 6
            end as utinyint
        ) as activity
    from gpu_samples
    where
        gpu_samples.interval_ms > 0
        and gpu_samples.health is not null
        and (
            gpu_samples.health != 'ok'
            or coalesce(gpu_samples.util_gpu_pct, gpu_samples.sm_active_ppm, gpu_samples.compute_process_count)
            is not null
        )
),

-- No part is longer than 15 minutes: sums of short numbers take half the time.
hour_parts as not materialized (
    select
        *,
        from_ms // 3600000 as hour_number,
        cast(least(to_ms, (from_ms // 3600000 + 1) * 3600000) - from_ms as integer) as own_ms,
        cast(greatest(to_ms - (from_ms // 3600000 + 1) * 3600000, 0) as integer) as next_hour_ms
    from intervals
),

bulk as (
    select
        usage_date,
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        agent_start_id,
        hour_number,
        activity,
        mig_held_ppm,
        min(from_ms) as first_from_ms,
        max(to_ms) as last_to_ms,
        sum(own_ms) as own_ms,
        sum(own_ms) filter (where power_milliwatts is not null) as own_powered_ms,
        sum(own_ms * power_milliwatts) as own_microjoules,
        sum(next_hour_ms) as next_hour_ms
    from hour_parts
    group by
        usage_date, host, gpu_uuid, boot_id, provider_resource_id, agent_start_id, hour_number, activity, mig_held_ppm
),

-- What crosses the full hour goes to the next one.
own_and_next as (
    select
        * exclude (own_ms, own_powered_ms, own_microjoules, next_hour_ms)
        replace (least(last_to_ms, (hour_number + 1) * 3600000) as last_to_ms),
        own_ms as observed_ms,
        own_powered_ms as powered_ms,
        own_microjoules as microjoules
    from bulk
    union all by name
    select
        * exclude (own_ms, own_powered_ms, own_microjoules, next_hour_ms)
        replace (hour_number + 1 as hour_number, (hour_number + 1) * 3600000 as first_from_ms),
        next_hour_ms as observed_ms
    from bulk
    where next_hour_ms > 0
),

-- One agent's intervals follow each other by its monotonic clock, so they can be added up.
hours as (
    select
        own_and_next.usage_date,
        own_and_next.host,
        own_and_next.gpu_uuid,
        own_and_next.boot_id,
        own_and_next.provider_resource_id,
        own_and_next.hour_number,
        min(own_and_next.first_from_ms) as first_from_ms,
        max(own_and_next.last_to_ms) as last_to_ms,
        min(own_and_next.agent_start_id) != max(own_and_next.agent_start_id)
        or sum(own_and_next.observed_ms)
        > max(own_and_next.last_to_ms) - min(own_and_next.first_from_ms) as is_contested,
        sum(own_and_next.observed_ms) as observed_ms,
        sum(own_and_next.observed_ms) filter (where activities.is_healthy) as healthy_ms,
        sum(
            own_and_next.observed_ms * coalesce(own_and_next.mig_held_ppm, if(activities.is_held, 1000000, 0))
        ) filter (where activities.is_healthy) // 1000000 as held_ms,
        sum(own_and_next.observed_ms) filter (where activities.is_healthy and own_and_next.mig_held_ppm is not null)
            as sliced_ms,
        sum(own_and_next.observed_ms) filter (where activities.is_busy) as busy_ms,
        sum(own_and_next.observed_ms) filter (where activities.is_contradicted) as contradicted_ms,
        sum(own_and_next.observed_ms) filter (where activities.is_quiet) as quiet_ms,
        sum(own_and_next.powered_ms) filter (where activities.is_healthy) as powered_ms,
        sum(own_and_next.microjoules) filter (where activities.is_healthy) as microjoules
    from own_and_next
    inner join activities on own_and_next.activity = activities.activity
    group by
        own_and_next.usage_date, own_and_next.host, own_and_next.gpu_uuid, own_and_next.boot_id,
        own_and_next.provider_resource_id, own_and_next.hour_number
),

parts as (
    select
        hour_parts.*,
        hours.hour_number as part_hour_number,
        greatest(hour_parts.from_ms, hours.hour_number * 3600000) as part_from_ms,
        least(hour_parts.to_ms, (hours.hour_number + 1) * 3600000) as part_to_ms
    from hour_parts
    inner join hours
        on
            hour_parts.usage_date = hours.usage_date
            and hour_parts.host = hours.host
            and hour_parts.gpu_uuid = hours.gpu_uuid
            and hour_parts.boot_id is not distinct from hours.boot_id
            and hour_parts.provider_resource_id is not distinct from hours.provider_resource_id
            and hour_parts.from_ms < (hours.hour_number + 1) * 3600000
            and hour_parts.to_ms > hours.hour_number * 3600000
    where hours.is_contested
),

contested_parts as (
    select
        *,
        part_to_ms - greatest(
            part_from_ms,
            max(part_to_ms) over (
                partition by
                    usage_date, host, gpu_uuid, boot_id, provider_resource_id,
                    part_hour_number
                order by part_from_ms, agent_start_id, sequence_number
                rows between unbounded preceding and 1 preceding
            )
        ) as uncovered_ms
    from parts
),

contested_hours as (
    select
        contested_parts.usage_date,
        contested_parts.host,
        contested_parts.gpu_uuid,
        contested_parts.boot_id,
        contested_parts.provider_resource_id,
        contested_parts.part_hour_number as hour_number,
        min(contested_parts.part_from_ms) as first_from_ms,
        max(contested_parts.part_to_ms) as last_to_ms,
        sum(contested_parts.uncovered_ms) as observed_ms,
        sum(contested_parts.uncovered_ms) filter (where activities.is_healthy) as healthy_ms,
        sum(
            contested_parts.uncovered_ms * coalesce(contested_parts.mig_held_ppm, if(activities.is_held, 1000000, 0))
        ) filter (where activities.is_healthy) // 1000000 as held_ms,
        sum(contested_parts.uncovered_ms) filter (
            where activities.is_healthy and contested_parts.mig_held_ppm is not null
        ) as sliced_ms,
        sum(contested_parts.uncovered_ms) filter (where activities.is_busy) as busy_ms,
        sum(contested_parts.uncovered_ms) filter (where activities.is_contradicted) as contradicted_ms,
        sum(contested_parts.uncovered_ms) filter (where activities.is_quiet) as quiet_ms,
        sum(contested_parts.uncovered_ms) filter (
            where activities.is_healthy and contested_parts.power_milliwatts is not null
        ) as powered_ms,
        sum(contested_parts.uncovered_ms * contested_parts.power_milliwatts) filter (where activities.is_healthy)
            as microjoules
    from contested_parts
    inner join activities on contested_parts.activity = activities.activity
    where contested_parts.uncovered_ms > 0
    group by
        contested_parts.usage_date, contested_parts.host, contested_parts.gpu_uuid, contested_parts.boot_id,
        contested_parts.provider_resource_id, contested_parts.part_hour_number
),

united as (
    select * exclude (is_contested)
    from hours
    where not is_contested
    union all by name
    select * from contested_hours
),

-- No healthy, held or busy sample in an observed hour is a measured 0, not a missing reading. Power that nobody read
-- is one. What crosses the full hour has no part in it: a mean needs no second more.
final as (
    select
        usage_date,
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        make_timestamp_ms(hour_number * 3600000) as usage_hour_at,
        make_timestamp_ms(first_from_ms) as first_observed_at,
        make_timestamp_ms(last_to_ms) as last_observed_at,
        cast(observed_ms as bigint) as observed_milliseconds,
        cast(coalesce(healthy_ms, 0) as bigint) as healthy_milliseconds,
        cast(coalesce(held_ms, 0) as bigint) as held_milliseconds,
        cast(coalesce(sliced_ms, 0) as bigint) as sliced_milliseconds,
        cast(coalesce(busy_ms, 0) as bigint) as busy_milliseconds,
        cast(coalesce(contradicted_ms, 0) as bigint) as contradicted_milliseconds,
        cast(coalesce(quiet_ms, 0) as bigint) as quiet_milliseconds,
        cast(coalesce(powered_ms, 0) as bigint) as powered_milliseconds,
        cast(microjoules as bigint) as energy_microjoules
    from united
)

select * from final
