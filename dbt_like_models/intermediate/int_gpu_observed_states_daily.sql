-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id, target, state.
-- Every observed GPU-millisecond in exactly one state: unhealthy, what an engine says of the healthy ones, and for the
-- rest held_other where a process was there, else unallocated. They sum to what was observed, and to nothing more.
-- partition: month
-- lookback: int_gpu_hours 1 days
with
gpu_hours as (
    select int_gpu_hours.*
    from int_gpu_hours
    inner join calendar as days
        on
            int_gpu_hours.usage_hour_at >= days.day_start_at
            and int_gpu_hours.usage_hour_at < days.day_end_at
),

engine_hours as (
    select * from int_engine_hours
),

-- Midnight may bring two rows of one hour, and so may a reboot. They add up where one ends before the other begins;
-- where two agents overlapped there, only the longer counts: the rest is unobserved rather than counted twice.
merged_hours as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        max(boot_id) as boot_id,
        max(provider_resource_id) as provider_resource_id,
        sum(epoch_ms(last_observed_at) - epoch_ms(first_observed_at))
        <= epoch_ms(max(last_observed_at)) - epoch_ms(min(first_observed_at)) as is_disjoint,
        sum(observed_milliseconds) as sum_observed_ms,
        sum(healthy_milliseconds) as sum_healthy_ms,
        sum(held_milliseconds) as sum_held_ms,
        max(observed_milliseconds) as max_observed_ms,
        max(healthy_milliseconds) as max_healthy_ms,
        max(held_milliseconds) as max_held_ms
    from gpu_hours
    group by host, gpu_uuid, usage_hour_at
),

hours as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        boot_id,
        provider_resource_id,
        case when is_disjoint then sum_observed_ms else max_observed_ms end as observed_ms,
        case when is_disjoint then sum_healthy_ms else max_healthy_ms end as healthy_ms,
        case when is_disjoint then sum_held_ms else max_held_ms end as held_ms
    from merged_hours
),

-- A declared engine that answers nothing is starting only while some process holds the GPU.
claims as (
    select
        hours.*,
        engine_hours.target,
        claimed_states.state,
        case claimed_states.state
            when 'serving' then engine_hours.serving_milliseconds
            when 'loaded_idle' then engine_hours.loaded_idle_milliseconds
            else least(engine_hours.starting_milliseconds, hours.held_ms)
        end as claimed_ms
    from hours
    inner join engine_hours
        on
            hours.host = engine_hours.host
            and hours.gpu_uuid = engine_hours.gpu_uuid
            and hours.usage_hour_at = engine_hours.usage_hour_at
    cross join (select unnest(['serving', 'loaded_idle', 'starting']) as state) as claimed_states
),

claimed_hours as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        sum(claimed_ms) as all_claimed_ms
    from claims
    group by host, gpu_uuid, usage_hour_at
),

weighed as (
    select
        claims.*,
        claimed_hours.all_claimed_ms
    from claims
    inner join claimed_hours
        on
            claims.host = claimed_hours.host
            and claims.gpu_uuid = claimed_hours.gpu_uuid
            and claims.usage_hour_at = claimed_hours.usage_hour_at
    where claims.claimed_ms > 0
),

-- What engines claim beyond the GPU's healthy time is cut in proportion.
floored as (
    select
        *,
        healthy_ms * claimed_ms // all_claimed_ms as floor_ms,
        healthy_ms * claimed_ms % all_claimed_ms as remainder
    from weighed
    where all_claimed_ms > healthy_ms
),

engine_states as (
    select
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        usage_hour_at,
        target,
        state,
        claimed_ms as state_ms
    from weighed
    where all_claimed_ms <= healthy_ms
    union all
    select
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        usage_hour_at,
        target,
        state,
        floor_ms + case
            when
                row_number() over (
                    partition by host, gpu_uuid, usage_hour_at order by remainder desc, target asc, state asc
                ) <= healthy_ms - sum(floor_ms) over (partition by host, gpu_uuid, usage_hour_at)
                then 1
            else 0
        end as state_ms
    from floored
),

engine_totals as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        sum(state_ms) as engine_ms
    from engine_states
    group by host, gpu_uuid, usage_hour_at
),

-- No engine on the GPU in that hour is no claim on it.
rests as (
    select
        hours.*,
        hours.observed_ms - hours.healthy_ms as unhealthy_ms,
        hours.healthy_ms - coalesce(engine_totals.engine_ms, 0) as rest_ms,
        least(
            hours.healthy_ms - coalesce(engine_totals.engine_ms, 0),
            greatest(hours.held_ms - coalesce(engine_totals.engine_ms, 0), 0)
        ) as held_other_ms
    from hours
    left join engine_totals
        on
            hours.host = engine_totals.host
            and hours.gpu_uuid = engine_totals.gpu_uuid
            and hours.usage_hour_at = engine_totals.usage_hour_at
),

states as (
    select * from engine_states
    union all
    select
        rests.host,
        rests.gpu_uuid,
        rests.boot_id,
        rests.provider_resource_id,
        rests.usage_hour_at,
        null as target,
        other_states.state,
        case other_states.state
            when 'unhealthy' then rests.unhealthy_ms
            when 'held_other' then rests.held_other_ms
            else rests.rest_ms - rests.held_other_ms
        end as state_ms
    from rests
    cross join (select unnest(['unhealthy', 'held_other', 'unallocated']) as state) as other_states
),

final as (
    select
        cast(usage_hour_at as date) as usage_date,
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        target,
        state,
        cast(sum(state_ms) as bigint) as gpu_milliseconds
    from states
    where state_ms > 0
    group by cast(usage_hour_at as date), host, gpu_uuid, boot_id, provider_resource_id, target, state
)

select * from final
