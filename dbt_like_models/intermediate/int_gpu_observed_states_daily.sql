-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id, target, state.
-- Every observed GPU-millisecond in exactly one state: unhealthy, what an engine says of the healthy ones, and for the
-- rest held_other where a process was there, else unallocated. They sum to what was observed, and to nothing more.
-- partition: month, days apart
with
engine_hours as (
    select * from int_engine_hours
),

hours as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        boot_id,
        provider_resource_id,
        observed_milliseconds as observed_ms,
        healthy_milliseconds as healthy_ms,
        held_milliseconds as held_ms
    from int_gpu_seen_hours
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
