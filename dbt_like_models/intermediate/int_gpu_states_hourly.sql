-- One row per usage_date, host, gpu_uuid, usage_hour_at, target, state.
-- Every observed GPU-millisecond of an hour in exactly one state: unhealthy; conflict where two feeds about the GPU
-- cannot both be right; what an engine says of the rest; then held_other where a process was there (of a GPU in MIG as
-- far as its slices are that one was on), else unallocated.
-- They sum to what was observed, and to nothing more.
-- Feeds conflict where, for half of the hour, kernels ran nearly all the time and profiling saw none (that time is
-- taken from what would be called idle before anything else: kernels are not idleness); or an engine's tokens moved
-- while its GPU did nothing, or while it drew what it draws loaded and without a request, with requests running at nine
-- of ten readings (then it is the engine's serving time). An hour has one conflict, the first of these.
-- partition: day, days apart
-- rows of: int_gpu_seen_hours
with
seen_hours as (
    select * from int_gpu_seen_hours
),

engine_hours as (
    select * from int_engine_hours
),

readings as (
    select
        usage_date,
        host,
        target,
        date_trunc('hour', scraped_at - to_milliseconds(1)) as usage_hour_at,
        count(*) filter (where requests_running_count > 0) * 10 >= count(*) * 9 as is_always_running
    from int_engine_scrapes
    where is_valid
    group by usage_date, host, target, date_trunc('hour', scraped_at - to_milliseconds(1))
),

engine_claims as (
    select
        seen_hours.usage_date,
        seen_hours.host,
        seen_hours.gpu_uuid,
        seen_hours.usage_hour_at,
        seen_hours.healthy_milliseconds as healthy_ms,
        engine_hours.target,
        engine_hours.serving_milliseconds,
        engine_hours.loaded_idle_milliseconds,
        engine_hours.starting_milliseconds,
        sum(engine_hours.starting_milliseconds) over up_to_it as starting_up_to_it_ms,
        sum(engine_hours.starting_milliseconds) over gpu_hour as all_starting_ms,
        seen_hours.held_milliseconds
        - sum(engine_hours.serving_milliseconds + engine_hours.loaded_idle_milliseconds) over gpu_hour as unanswered_ms
    from seen_hours
    inner join engine_hours
        on
            seen_hours.usage_date = engine_hours.usage_date
            and seen_hours.host = engine_hours.host
            and seen_hours.gpu_uuid = engine_hours.gpu_uuid
            and seen_hours.usage_hour_at = engine_hours.usage_hour_at
    window
        gpu_hour as (
            partition by seen_hours.usage_date, seen_hours.host, seen_hours.gpu_uuid, seen_hours.usage_hour_at
        ),
        up_to_it as (
            partition by seen_hours.usage_date, seen_hours.host, seen_hours.gpu_uuid, seen_hours.usage_hour_at
            order by engine_hours.target
            rows between unbounded preceding and current row
        )
),

-- A declared engine that answers nothing is starting only while some process holds the GPU, and what those hold that
-- answer is theirs. Several that start share the rest by how long each did not answer.
startable as (
    select
        *,
        least(all_starting_ms, greatest(unanswered_ms, 0)) as startable_ms
    from engine_claims
),

claims as (
    select
        startable.usage_date,
        startable.host,
        startable.gpu_uuid,
        startable.usage_hour_at,
        startable.healthy_ms,
        startable.target,
        claimed_states.state,
        case claimed_states.state
            when 'serving' then startable.serving_milliseconds
            when 'loaded_idle' then startable.loaded_idle_milliseconds
            when 'starting'
                then
                    startable.startable_ms * startable.starting_up_to_it_ms // greatest(startable.all_starting_ms, 1)
                    - startable.startable_ms
                    * (startable.starting_up_to_it_ms - startable.starting_milliseconds)
                    // greatest(startable.all_starting_ms, 1)
        end as claimed_ms
    from startable
    cross join (select unnest(['serving', 'loaded_idle', 'starting']) as state) as claimed_states
),

weighed as (
    select
        *,
        sum(claimed_ms) over (partition by usage_date, host, gpu_uuid, usage_hour_at) as all_claimed_ms
    from claims
    where claimed_ms > 0
),

-- What engines claim beyond the GPU's healthy time is cut in proportion.
floored as (
    select
        *,
        case when all_claimed_ms <= healthy_ms then claimed_ms else healthy_ms * claimed_ms // all_claimed_ms end
            as floor_ms,
        case when all_claimed_ms <= healthy_ms then 0 else healthy_ms * claimed_ms % all_claimed_ms end as remainder
    from weighed
),

engine_states as (
    select
        usage_date,
        host,
        gpu_uuid,
        usage_hour_at,
        target,
        state,
        floor_ms + case
            when
                row_number() over (gpu_hour order by remainder desc, target asc, state asc)
                <= least(healthy_ms, all_claimed_ms) - sum(floor_ms) over gpu_hour
                then 1
            else 0
        end as state_ms
    from floored
    window gpu_hour as (partition by usage_date, host, gpu_uuid, usage_hour_at)
),

engine_totals as (
    select
        engine_states.usage_date,
        engine_states.host,
        engine_states.gpu_uuid,
        engine_states.usage_hour_at,
        sum(engine_states.state_ms) as engine_ms,
        sum(case when engine_states.state = 'serving' then engine_states.state_ms else 0 end) as serving_ms,
        sum(case when engine_states.state = 'loaded_idle' then engine_states.state_ms else 0 end) as loaded_ms,
        coalesce(
            bool_or(engine_states.state = 'serving' and readings.is_always_running), false
        ) as is_always_running
    from engine_states
    left join readings
        on
            engine_states.usage_date = readings.usage_date
            and engine_states.host = readings.host
            and engine_states.target = readings.target
            and engine_states.usage_hour_at = readings.usage_hour_at
    group by engine_states.usage_date, engine_states.host, engine_states.gpu_uuid, engine_states.usage_hour_at
),

-- No engine on the GPU in that hour is no claim on it.
hours as (
    select
        seen_hours.*,
        coalesce(engine_totals.engine_ms, 0) as engine_ms,
        coalesce(engine_totals.serving_ms, 0) as serving_ms,
        coalesce(engine_totals.is_always_running, false) as is_always_running,
        -- What the GPU draws at most, loaded and waiting, in an hour of the day in which it did nothing else.
        max(
            case
                when
                    engine_totals.serving_ms = 0
                    and engine_totals.loaded_ms * 100 >= seen_hours.observed_milliseconds * 95
                    then seen_hours.mean_power_milliwatts
            end
        ) over (partition by seen_hours.usage_date, seen_hours.host, seen_hours.gpu_uuid) as waiting_milliwatts
    from seen_hours
    left join engine_totals
        on
            seen_hours.usage_date = engine_totals.usage_date
            and seen_hours.host = engine_totals.host
            and seen_hours.gpu_uuid = engine_totals.gpu_uuid
            and seen_hours.usage_hour_at = engine_totals.usage_hour_at
),

-- Engines' parts of slices are whole milliseconds, each rounded down: of a GPU in MIG, less than a thousandth of the
-- hour is no process of another.
explained as (
    select
        *,
        case
            when is_sliced and (held_milliseconds - engine_ms) * 1000 < healthy_milliseconds then 0
            else least(healthy_milliseconds - engine_ms, greatest(held_milliseconds - engine_ms, 0))
        end as held_other_ms
    from hours
),

judged as (
    select
        *,
        case
            when contradicted_milliseconds >= 1800000 then 'utilization_and_profiling'
            when serving_ms < 1800000 then null
            when quiet_milliseconds >= 1800000 and quiet_milliseconds * 10 >= observed_milliseconds * 9
                then 'tokens_and_activity'
            when is_always_running and mean_power_milliwatts * 10 <= waiting_milliwatts * 11 then 'tokens_and_power'
        end as conflict
    from hours
),

conflicting as (
    select
        usage_date,
        host,
        gpu_uuid,
        usage_hour_at,
        conflict,
        case conflict
            when 'utilization_and_profiling' then contradicted_milliseconds
            when 'tokens_and_activity' then least(serving_ms, quiet_milliseconds)
            else serving_ms
        end as conflict_ms
    from judged
    where conflict is not null
),

other_states as (
    select
        explained.usage_date,
        explained.host,
        explained.gpu_uuid,
        explained.usage_hour_at,
        other_names.state,
        case other_names.state
            when 'unhealthy' then explained.observed_milliseconds - explained.healthy_milliseconds
            when 'held_other' then explained.held_other_ms
            else explained.healthy_milliseconds - explained.engine_ms - explained.held_other_ms
        end as state_ms
    from explained
    cross join (select unnest(['unhealthy', 'held_other', 'unallocated']) as state) as other_names
),

states as (
    select * from engine_states
    union all by name
    select
        *,
        cast(null as varchar) as target
    from other_states
    where state_ms > 0
),

-- In which order a conflict takes its time; what it never takes has no place.
placed as (
    select
        states.*,
        conflicting.conflict,
        conflicting.conflict_ms,
        case
            when conflicting.conflict is null or states.state = 'unhealthy' then null
            when conflicting.conflict != 'utilization_and_profiling'
                then case when states.state = 'serving' then 1 end
            else list_position(['loaded_idle', 'held_other', 'serving', 'starting', 'unallocated'], states.state)
        end as place
    from states
    left join conflicting
        on
            states.usage_date = conflicting.usage_date
            and states.host = conflicting.host
            and states.gpu_uuid = conflicting.gpu_uuid
            and states.usage_hour_at = conflicting.usage_hour_at
),

taken as (
    select
        *,
        case
            when place is null then 0
            else least(
                state_ms,
                greatest(
                    conflict_ms - sum(state_ms) over (
                        partition by usage_date, host, gpu_uuid, usage_hour_at
                        order by place asc nulls last, target asc, state asc
                        rows between unbounded preceding and current row
                    ) + state_ms,
                    0
                )
            )
        end as taken_ms
    from placed
),

told as (
    select
        * exclude (state_ms, conflict),
        cast(null as varchar) as conflict,
        state_ms - taken_ms as told_ms
    from taken
    union all by name
    select
        * exclude (state_ms, state),
        'conflict' as state,
        taken_ms as told_ms
    from taken
    where taken_ms > 0
),

final as (
    select
        told.usage_date,
        told.host,
        told.gpu_uuid,
        told.usage_hour_at,
        seen_hours.boot_id,
        seen_hours.provider_resource_id,
        told.target,
        told.state,
        told.conflict,
        cast(sum(told.told_ms) as bigint) as gpu_milliseconds
    from told
    inner join seen_hours
        on
            told.usage_date = seen_hours.usage_date
            and told.host = seen_hours.host
            and told.gpu_uuid = seen_hours.gpu_uuid
            and told.usage_hour_at = seen_hours.usage_hour_at
    where told.told_ms > 0
    group by
        told.usage_date, told.host, told.gpu_uuid, told.usage_hour_at, seen_hours.boot_id,
        seen_hours.provider_resource_id, told.target, told.state, told.conflict
)

select * from final
