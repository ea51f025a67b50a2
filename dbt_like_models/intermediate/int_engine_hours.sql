-- One row per usage_date, host, gpu_uuid, usage_hour_at, target.
-- How long each engine served, was loaded without a request, or was starting on each GPU. Engines that share a GPU
-- share its minutes: one on a MIG slice claims its part of them, and claims beyond sixty seconds are cut in proportion,
-- so no GPU-second is used twice.
-- partition: day
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

-- The ranks and models of one process are one engine: it serves when any of them does. An unread process whose GPUs
-- are known is starting; one that is read and counts no tokens (an engine without such counters) claims no time.
claims as (
    select
        host,
        target,
        scraped_at,
        max(gpu_uuids_json) as gpu_uuids_json,
        max(gpu_shares_ppm_json) as gpu_shares_ppm_json,
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
        max(gpu_uuids_json) as gpu_uuids_json,
        max(gpu_shares_ppm_json) as gpu_shares_ppm_json,
        'starting' as state,
        min(epoch_ms(scraped_at) - least(interval_milliseconds, 900000)) as from_ms
    from failed_scrapes
    where gpu_uuids_json is not null and gpu_uuids_json != '[]'
    group by host, target, scraped_at
),

disjoint_claims as (
    select
        host,
        target,
        gpu_uuids_json,
        gpu_shares_ppm_json,
        state,
        greatest(
            from_ms,
            lag(epoch_ms(scraped_at)) over (partition by host, target order by scraped_at, state)
        ) as from_ms,
        epoch_ms(scraped_at) as to_ms
    from claims
),

-- A day begins and ends with a minute.
daily_claims as (
    select
        disjoint_claims.host,
        disjoint_claims.target,
        disjoint_claims.gpu_uuids_json,
        disjoint_claims.gpu_shares_ppm_json,
        disjoint_claims.state,
        greatest(disjoint_claims.from_ms, epoch_ms(days.day_start_at)) as from_ms,
        least(disjoint_claims.to_ms, epoch_ms(days.day_end_at)) as to_ms
    from disjoint_claims
    inner join calendar as days
        on
            disjoint_claims.from_ms < epoch_ms(days.day_end_at)
            and disjoint_claims.to_ms > epoch_ms(days.day_start_at)
),

minute_parts as (
    select
        *,
        unnest(range(from_ms // 60000, (to_ms - 1) // 60000 + 1)) as minute_number
    from daily_claims
    where to_ms > from_ms
),

target_minutes as (
    select
        host,
        target,
        gpu_uuids_json,
        gpu_shares_ppm_json,
        state,
        minute_number,
        sum(least(to_ms, (minute_number + 1) * 60000) - greatest(from_ms, minute_number * 60000)) as claimed_ms
    from minute_parts
    group by host, target, gpu_uuids_json, gpu_shares_ppm_json, state, minute_number
),

stated_lists as (
    select distinct
        host,
        gpu_uuids_json,
        gpu_shares_ppm_json
    from target_minutes
),

-- Two lists of one length, unnested side by side; without the second one each GPU is the engine's as a whole.
stated_gpus as (
    select
        host,
        gpu_uuids_json,
        gpu_shares_ppm_json,
        unnest(from_json(gpu_uuids_json, '["VARCHAR"]')) as gpu_uuid,
        unnest(from_json(gpu_shares_ppm_json, '["BIGINT"]')) as share_ppm
    from stated_lists
),

seen_gpus as (
    select distinct
        host,
        gpu_uuid
    from gpu_hours
),

-- An engine of which no GPU is known is taken to use all of its host's.
gpu_claims as (
    select
        target_minutes.*,
        coalesce(stated_gpus.gpu_uuid, seen_gpus.gpu_uuid) as gpu_uuid,
        target_minutes.claimed_ms * coalesce(stated_gpus.share_ppm, 1000000) // 1000000 as gpu_claimed_ms
    from target_minutes
    left join stated_gpus
        on
            target_minutes.host = stated_gpus.host
            and target_minutes.gpu_uuids_json = stated_gpus.gpu_uuids_json
            and target_minutes.gpu_shares_ppm_json is not distinct from stated_gpus.gpu_shares_ppm_json
    left join seen_gpus
        on target_minutes.host = seen_gpus.host and stated_gpus.gpu_uuid is null
),

target_claims as (
    select
        host,
        gpu_uuid,
        minute_number,
        target,
        state,
        sum(gpu_claimed_ms) as claimed_ms
    from gpu_claims
    where gpu_uuid is not null and gpu_claimed_ms > 0
    group by host, gpu_uuid, minute_number, target, state
),

minute_totals as (
    select
        host,
        gpu_uuid,
        minute_number,
        sum(claimed_ms) as all_claimed_ms
    from target_claims
    group by host, gpu_uuid, minute_number
),

weighed as (
    select
        target_claims.*,
        minute_totals.all_claimed_ms
    from target_claims
    inner join minute_totals
        on
            target_claims.host = minute_totals.host
            and target_claims.gpu_uuid = minute_totals.gpu_uuid
            and target_claims.minute_number = minute_totals.minute_number
),

floored as (
    select
        *,
        60000 * claimed_ms // all_claimed_ms as floor_ms,
        60000 * claimed_ms % all_claimed_ms as remainder
    from weighed
    where all_claimed_ms > 60000
),

shared as (
    select
        host,
        gpu_uuid,
        minute_number,
        target,
        state,
        claimed_ms as shared_ms
    from weighed
    where all_claimed_ms <= 60000
    union all
    select
        host,
        gpu_uuid,
        minute_number,
        target,
        state,
        floor_ms + case
            when
                row_number() over (
                    partition by host, gpu_uuid, minute_number order by remainder desc, target asc, state asc
                ) <= 60000 - sum(floor_ms) over (partition by host, gpu_uuid, minute_number)
                then 1
            else 0
        end as shared_ms
    from floored
),

final as (
    select
        cast(make_timestamp_ms(minute_number // 60 * 3600000) as date) as usage_date,
        host,
        gpu_uuid,
        make_timestamp_ms(minute_number // 60 * 3600000) as usage_hour_at,
        target,
        cast(sum(case when state = 'serving' then shared_ms else 0 end) as bigint) as serving_milliseconds,
        cast(sum(case when state = 'loaded_idle' then shared_ms else 0 end) as bigint) as loaded_idle_milliseconds,
        cast(sum(case when state = 'starting' then shared_ms else 0 end) as bigint) as starting_milliseconds
    from shared
    group by host, gpu_uuid, minute_number // 60, target
)

select * from final
