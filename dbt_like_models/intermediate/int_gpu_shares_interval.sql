-- One row per usage_date, host, gpu_uuid, target, from_at.
-- Which engine had which part of which GPU, from when to when, cut at full hours and wherever something on the GPU
-- changes: the one place that says so, and no GPU-second is given out twice. An engine on a slice (or with a request
-- for one) has its part at most. Where all that is there does not fit, the ones that serve come first, in proportion to
-- their parts: the GPU's time was useful to them. What they leave is shared by those that wait or start, by the memory
-- that each holds where all of it is known, else by their parts. Whole milliseconds, by largest remainder.
-- partition: day
-- rows of: int_engine_intervals, int_engine_scrapes
-- lookback: int_engine_intervals 1 days
-- lookback: int_engine_scrapes 1 days
with
engine_intervals as (
    select * from int_engine_intervals
),

failed_scrapes as (
    select * from int_engine_scrapes
    where not is_valid and scrape_error is not null
),

gpu_hours as (
    select * from int_gpu_hours
),

-- The ranks and models of one process are one engine, adapters among them: it serves when any of them does. An unread
-- process whose GPUs are known is starting; one that is read and counts no tokens (an engine without such counters)
-- claims no time.
claims as (
    select
        host,
        target,
        scraped_at,
        max(replica_id) as replica_id,
        max(gpu_uuids_json) as gpu_uuids_json,
        max(gpu_shares_ppm_json) as gpu_shares_ppm_json,
        max(gpu_memory_bytes_json) as gpu_memory_bytes_json,
        max(gpu_method) as gpu_method,
        case when bool_or(is_serving) then 'serving' else 'loaded_idle' end as state,
        min(
            case
                when is_timed then epoch_ms(spread_from_at)
                else epoch_ms(scraped_at) - least(interval_milliseconds, 900000)
            end
        ) as from_ms
    from engine_intervals
    group by host, target, scraped_at
    union all
    select
        host,
        target,
        scraped_at,
        max(replica_id) as replica_id,
        max(gpu_uuids_json) as gpu_uuids_json,
        max(gpu_shares_ppm_json) as gpu_shares_ppm_json,
        max(gpu_memory_bytes_json) as gpu_memory_bytes_json,
        max(gpu_method) as gpu_method,
        'starting' as state,
        min(epoch_ms(scraped_at) - least(interval_milliseconds, 900000)) as from_ms
    from failed_scrapes
    where gpu_uuids_json is not null and gpu_uuids_json != '[]'
    group by host, target, scraped_at
),

disjoint_claims as (
    select
        * exclude (scraped_at, from_ms),
        greatest(
            from_ms,
            lag(epoch_ms(scraped_at)) over (partition by host, target order by scraped_at, state)
        ) as from_ms,
        epoch_ms(scraped_at) as to_ms
    from claims
),

-- What they say of themselves beside their memory, in one text.
described_claims as (
    select
        *,
        concat_ws(
            chr(10),
            state,
            coalesce(replica_id, ''),
            coalesce(gpu_uuids_json, ''),
            coalesce(gpu_shares_ppm_json, ''),
            coalesce(gpu_method, '')
        ) as description
    from disjoint_claims
    where to_ms > from_ms
),

-- One after the other, and alike, they are one stretch.
marked_claims as (
    select
        *,
        case
            when from_ms = lag(to_ms) over engine and description = lag(description) over engine then 0
            else 1
        end as is_another
    from described_claims
    window engine as (partition by host, target order by from_ms)
),

numbered_claims as (
    select
        *,
        sum(is_another) over (partition by host, target order by from_ms) as stretch_number
    from marked_claims
),

stretches as (
    select
        host,
        target,
        replica_id,
        state,
        gpu_uuids_json,
        gpu_shares_ppm_json,
        gpu_method,
        stretch_number,
        min(from_ms) as from_ms,
        max(to_ms) as to_ms
    from numbered_claims
    group by
        host, target, replica_id, state, gpu_uuids_json, gpu_shares_ppm_json, gpu_method, stretch_number
),

-- A day begins and ends with an hour.
daily_stretches as (
    select
        stretches.* replace (
            greatest(stretches.from_ms, epoch_ms(days.day_start_at)) as from_ms,
            least(stretches.to_ms, epoch_ms(days.day_end_at)) as to_ms
        )
    from stretches
    inner join calendar as days
        on
            stretches.from_ms < epoch_ms(days.day_end_at)
            and stretches.to_ms > epoch_ms(days.day_start_at)
),

hour_parts as (
    select
        *,
        unnest(range(from_ms // 3600000, (to_ms - 1) // 3600000 + 1)) as hour_number
    from daily_stretches
),

hour_stretches as (
    select
        * replace (
            greatest(from_ms, hour_number * 3600000) as from_ms,
            least(to_ms, (hour_number + 1) * 3600000) as to_ms
        )
    from hour_parts
),

stated_lists as (
    select distinct
        host,
        gpu_uuids_json,
        gpu_shares_ppm_json
    from hour_stretches
),

-- Two lists of one length, unnested side by side; without the second one each GPU is the engine's as a whole.
stated_gpus as (
    select
        host,
        gpu_uuids_json,
        gpu_shares_ppm_json,
        unnest(from_json(gpu_uuids_json, '["VARCHAR"]')) as gpu_uuid,
        unnest(from_json(gpu_shares_ppm_json, '["BIGINT"]')) as part_ppm
    from stated_lists
),

seen_gpus as (
    select distinct
        host,
        gpu_uuid
    from gpu_hours
),

-- An engine of which no GPU is known is taken to use all of its host's.
spans as (
    select
        hour_stretches.host,
        coalesce(stated_gpus.gpu_uuid, seen_gpus.gpu_uuid) as gpu_uuid,
        hour_stretches.hour_number,
        hour_stretches.target,
        hour_stretches.replica_id,
        hour_stretches.state,
        case when stated_gpus.gpu_uuid is null then 'whole_host' else hour_stretches.gpu_method end as gpu_method,
        least(coalesce(stated_gpus.part_ppm, 1000000), 1000000) as part_ppm,
        hour_stretches.from_ms,
        hour_stretches.to_ms
    from hour_stretches
    left join stated_gpus
        on
            hour_stretches.host = stated_gpus.host
            and hour_stretches.gpu_uuids_json = stated_gpus.gpu_uuids_json
            and hour_stretches.gpu_shares_ppm_json is not distinct from stated_gpus.gpu_shares_ppm_json
    left join seen_gpus
        on hour_stretches.host = seen_gpus.host and stated_gpus.gpu_uuid is null
    where coalesce(stated_gpus.gpu_uuid, seen_gpus.gpu_uuid) is not null and coalesce(stated_gpus.part_ppm, 1) > 0
),

gpu_hour_engines as (
    select
        host,
        gpu_uuid,
        hour_number,
        min(target) != max(target) as is_shared
    from spans
    group by host, gpu_uuid, hour_number
),

shared_spans as (
    select spans.*
    from spans
    inner join gpu_hour_engines
        on
            spans.host = gpu_hour_engines.host
            and spans.gpu_uuid = gpu_hour_engines.gpu_uuid
            and spans.hour_number = gpu_hour_engines.hour_number
    where gpu_hour_engines.is_shared
),

edges as (
    select
        host,
        gpu_uuid,
        hour_number,
        from_ms as edge_ms
    from shared_spans
    union
    select
        host,
        gpu_uuid,
        hour_number,
        to_ms as edge_ms
    from shared_spans
),

segments as (
    select
        host,
        gpu_uuid,
        hour_number,
        edge_ms as from_ms,
        lead(edge_ms) over (partition by host, gpu_uuid, hour_number order by edge_ms) as to_ms
    from edges
),

-- What each process held of each GPU at most that day, as the driver told it.
stated_memories as (
    select distinct
        disjoint_claims.host,
        disjoint_claims.target,
        disjoint_claims.gpu_uuids_json,
        disjoint_claims.gpu_memory_bytes_json
    from disjoint_claims
    inner join calendar as days
        on
            disjoint_claims.from_ms < epoch_ms(days.day_end_at)
            and disjoint_claims.to_ms > epoch_ms(days.day_start_at)
    where disjoint_claims.gpu_memory_bytes_json is not null
),

gpu_memories as (
    select
        host,
        target,
        unnest(from_json(gpu_uuids_json, '["VARCHAR"]')) as gpu_uuid,
        unnest(from_json(gpu_memory_bytes_json, '["BIGINT"]')) as memory_bytes
    from stated_memories
),

memories as (
    select
        host,
        target,
        gpu_uuid,
        max(memory_bytes) as memory_bytes
    from gpu_memories
    group by host, target, gpu_uuid
),

segment_engines as (
    select
        shared_spans.* replace (segments.from_ms as from_ms, segments.to_ms as to_ms),
        segments.to_ms - segments.from_ms as whole_ms,
        shared_spans.state = 'serving' as is_serving,
        memories.memory_bytes
    from segments
    inner join shared_spans
        on
            segments.host = shared_spans.host
            and segments.gpu_uuid = shared_spans.gpu_uuid
            and segments.hour_number = shared_spans.hour_number
            and segments.from_ms < shared_spans.to_ms
            and segments.to_ms > shared_spans.from_ms
    left join memories
        on
            shared_spans.host = memories.host
            and shared_spans.target = memories.target
            and shared_spans.gpu_uuid = memories.gpu_uuid
    where segments.to_ms is not null
),

counted as (
    select
        *,
        count(*) over segment as engine_count,
        sum(part_ppm) over segment as all_parts_ppm,
        sum(case when is_serving then part_ppm else 0 end) over segment as serving_ppm,
        sum(case when is_serving then 0 else part_ppm end) over segment as waiting_ppm,
        count(case when not is_serving then memory_bytes end) over segment
        = count(case when not is_serving then 1 end) over segment
        and sum(case when not is_serving then memory_bytes end) over segment > 0 as is_memory_known
    from segment_engines
    window segment as (partition by host, gpu_uuid, from_ms)
),

-- Of a segment first what those that serve have, then of what is left what the others have.
pools as (
    select
        *,
        whole_ms * least(serving_ppm, 1000000) // 1000000 as serving_ms,
        waiting_ppm > 1000000 - least(serving_ppm, 1000000) as is_waiting_cut
    from counted
),

weighed as (
    select
        *,
        case
            when is_serving then serving_ms
            else least(whole_ms - serving_ms, whole_ms * waiting_ppm // 1000000)
        end as pool_ms,
        case when not is_serving and is_waiting_cut and is_memory_known then memory_bytes else part_ppm end as weight
    from pools
),

floored as (
    select
        *,
        pool_ms * weight // sum(weight) over pool as floor_ms,
        pool_ms * weight % sum(weight) over pool as remainder
    from weighed
    window pool as (partition by host, gpu_uuid, from_ms, is_serving)
),

-- However much memory an engine holds, and however parts are rounded, it has no more than its part.
shared as (
    select
        *,
        least(
            floor_ms + case
                when row_number() over (pool order by remainder desc, target asc) <= pool_ms - sum(floor_ms) over pool
                    then 1
                else 0
            end,
            whole_ms * part_ppm // 1000000
        ) as own_ms
    from floored
    window pool as (partition by host, gpu_uuid, from_ms, is_serving)
),

parted as (
    select
        spans.host,
        spans.gpu_uuid,
        spans.target,
        spans.replica_id,
        spans.state,
        spans.gpu_method,
        spans.from_ms,
        spans.to_ms,
        case
            when spans.part_ppm = 1000000 then 'alone'
            when spans.gpu_method = 'requested' then 'requested_part'
            else 'mig_fraction'
        end as share_method,
        (spans.to_ms - spans.from_ms) * spans.part_ppm // 1000000 as own_ms
    from spans
    inner join gpu_hour_engines
        on
            spans.host = gpu_hour_engines.host
            and spans.gpu_uuid = gpu_hour_engines.gpu_uuid
            and spans.hour_number = gpu_hour_engines.hour_number
    where not gpu_hour_engines.is_shared
    union all by name
    select
        host,
        gpu_uuid,
        target,
        replica_id,
        state,
        gpu_method,
        from_ms,
        to_ms,
        case
            when engine_count = 1 and part_ppm = 1000000 then 'alone'
            when all_parts_ppm <= 1000000 and gpu_method = 'requested' then 'requested_part'
            when all_parts_ppm <= 1000000 then 'mig_fraction'
            when is_serving or serving_ppm >= 1000000 then 'useful_gpu_seconds'
            when is_memory_known then 'reserved_memory'
            else 'equal_parts'
        end as share_method,
        own_ms
    from shared
),

final as (
    select
        cast(make_timestamp_ms(from_ms) as date) as usage_date,
        host,
        gpu_uuid,
        target,
        make_timestamp_ms(from_ms) as from_at,
        make_timestamp_ms(to_ms) as to_at,
        replica_id,
        state,
        gpu_method,
        share_method,
        cast(own_ms * 1000000 // (to_ms - from_ms) as bigint) as share_ppm,
        cast(own_ms as bigint) as gpu_milliseconds
    from parted
)

select * from final
