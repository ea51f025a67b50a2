-- One row per usage_date, host, target, replica_id, model_name, engine_rank, process_started_at, scraped_at.
-- What an engine's counters moved by between two scrapes of the same process. A new process counts from zero if it
-- began while it was being watched; otherwise its first reading is a baseline and the tokens before it are unknown.
-- Nothing is extrapolated, and tokens between a last scrape and a crash stay lost.
-- A process that says when it began never counts backwards: a reading below an earlier one is not a restart but out of
-- its order (two servers of one pair stamp with their own clocks, and one may answer late), and is passed over. Of a
-- process that does not say, so is a reading below one of the minute before it which the minute after it makes good, or
-- which nothing follows for a minute; and a second fall within a minute: no engine starts so fast. What falls otherwise
-- began anew, as a pod did that has another UID or was made since the reading before, whatever its counters say.
-- Where an agent and a Prometheus tell a process in turn, each counts on from where the other left off. Where it cannot
-- be known which of the other's series it was, the first reading after a change is a baseline: nothing is told again.
-- While two processes answer behind one address in turn, nothing is counted: what is read is of either. Where only
-- their counters tell, the day after such a day begins with a baseline.
-- partition: day
-- lookback: int_engine_day_ends 7 days
-- lookback: int_engine_shared_addresses_daily 7 days
with
engine_scrapes as (
    select * from int_engine_scrapes
),

day_ends as (
    select int_engine_day_ends.*
    from int_engine_day_ends
    cross join this_partition
    where int_engine_day_ends.usage_date < this_partition.from_date
),

shared_addresses as (
    select * from int_engine_shared_addresses_daily
),

tellers as (
    select
        told_by,
        series_host,
        target,
        replica_id,
        model_name,
        engine_rank,
        process_started_at,
        host,
        usage_date
    from day_ends
    where is_valid
    union all
    select distinct
        told_by,
        series_host,
        target,
        replica_id,
        model_name,
        engine_rank,
        process_started_at,
        host,
        usage_date
    from engine_scrapes
    where is_valid
),

-- One series of either side of one start is one process; of several, that began at one instant, nobody knows which is
-- which.
told_processes as (
    select
        model_name,
        engine_rank,
        process_started_at,
        told_by,
        min(series_host) as series_host,
        min(target) as target,
        min(replica_id) as replica_id
    from (
        select distinct
            model_name,
            engine_rank,
            process_started_at,
            told_by,
            series_host,
            target,
            replica_id
        from tellers
        where process_started_at is not null
    ) as series
    group by model_name, engine_rank, process_started_at, told_by
    having count(*) = 1
),

twice_told_processes as (
    select
        own.*,
        other.told_by as other_told_by
    from told_processes as own
    inner join told_processes as other
        on
            own.model_name = other.model_name
            and own.engine_rank = other.engine_rank
            and own.process_started_at = other.process_started_at
            and own.told_by != other.told_by
),

-- Where the other left off, as a reading of the series itself.
other_day_ends as (
    select
        day_ends.* replace (
            own.series_host as series_host, own.target as target, own.replica_id as replica_id, own.told_by as told_by
        )
    from day_ends
    inner join twice_told_processes as own
        on
            day_ends.model_name = own.model_name
            and day_ends.engine_rank = own.engine_rank
            and day_ends.process_started_at = own.process_started_at
            and day_ends.told_by = own.other_told_by
    where day_ends.is_valid
),

-- Until when the other told what may be the same process, as int_engine_scrapes chooses between them.
changed_tellers as (
    select
        own.told_by,
        own.series_host,
        own.target,
        own.replica_id,
        own.model_name,
        own.engine_rank,
        own.process_started_at,
        max(other.usage_date) as told_by_other_until
    from tellers as own
    cross join this_partition
    inner join tellers as other
        on
            own.told_by != other.told_by
            and own.model_name = other.model_name
            and own.engine_rank = other.engine_rank
            and own.usage_date > other.usage_date
            and (
                own.process_started_at = other.process_started_at
                or (
                    own.host = other.host
                    and (own.process_started_at is null or other.process_started_at is null)
                )
            )
    left join twice_told_processes as known
        on
            own.told_by = known.told_by
            and own.model_name = known.model_name
            and own.engine_rank = known.engine_rank
            and own.process_started_at = known.process_started_at
    where own.usage_date >= this_partition.from_date and known.told_by is null
    group by
        own.told_by, own.series_host, own.target, own.replica_id, own.model_name, own.engine_rank,
        own.process_started_at
),

known_scrapes as (
    select
        *,
        false as is_of_this_day
    from day_ends
    union all by name
    select
        *,
        false as is_of_this_day
    from other_day_ends
    union all by name
    select
        *,
        true as is_of_this_day
    from engine_scrapes
),

-- Two agents, or one upload twice, may have read the same instant of the same process.
distinct_scrapes as (
    select *
    from known_scrapes
    where is_valid
    qualify
        row_number() over (
            partition by series_host, target, replica_id, model_name, engine_rank, process_started_at, scraped_at
            order by is_of_this_day asc, usage_date asc, agent_start_id asc, sequence_number asc
        ) = 1
),

stated_scrapes as (
    select *
    from distinct_scrapes
    where process_started_at is not null
    window
        earlier as (
            partition by series_host, target, replica_id, model_name, engine_rank, process_started_at
            order by is_of_this_day, scraped_at
            rows between unbounded preceding and 1 preceding
        )
    qualify
        prompt_tokens_since_start >= coalesce(max(prompt_tokens_since_start) over earlier, 0)
        and generation_tokens_since_start >= coalesce(max(generation_tokens_since_start) over earlier, 0)
),

unstated_readings as (
    select
        *,
        max(prompt_tokens_since_start) over minute_before as highest_prompt_before,
        max(generation_tokens_since_start) over minute_before as highest_generation_before,
        max(prompt_tokens_since_start) over minute_after as highest_prompt_after,
        max(generation_tokens_since_start) over minute_after as highest_generation_after
    from distinct_scrapes
    where process_started_at is null
    window
        minute_before as (
            partition by series_host, target, replica_id, model_name, engine_rank
            order by epoch_ms(scraped_at)
            range between 59999 preceding and 1 preceding
        ),
        minute_after as (
            partition by series_host, target, replica_id, model_name, engine_rank
            order by epoch_ms(scraped_at)
            range between 1 following and 59999 following
        )
),

timely_readings as (
    select
        *,
        coalesce(
            prompt_tokens_since_start < lag(prompt_tokens_since_start) over process
            or generation_tokens_since_start < lag(generation_tokens_since_start) over process,
            false
        ) as is_fall
    from unstated_readings
    where
        highest_prompt_before is null
        or (
            prompt_tokens_since_start >= highest_prompt_before
            and generation_tokens_since_start >= highest_generation_before
        )
        or highest_prompt_after < highest_prompt_before
        or highest_generation_after < highest_generation_before
    window process as (
        partition by series_host, target, replica_id, model_name, engine_rank order by scraped_at
    )
),

unstated_scrapes as (
    select *
    from timely_readings
    qualify
        not is_fall
        or not coalesce(
            max(is_fall) over (
                partition by series_host, target, replica_id, model_name, engine_rank
                order by epoch_ms(scraped_at)
                range between 59999 preceding and 1 preceding
            ),
            false
        )
),

ordered_scrapes as (
    select * from stated_scrapes
    union all by name
    select
        * exclude (
            is_fall, highest_prompt_before, highest_generation_before, highest_prompt_after, highest_generation_after
        )
    from unstated_scrapes
),

target_instants as (
    select distinct
        series_host,
        target,
        scraped_at
    from known_scrapes
),

target_scrapes as (
    select
        series_host,
        target,
        scraped_at,
        lag(scraped_at) over (partition by series_host, target order by scraped_at) as previous_target_scraped_at
    from target_instants
),

-- A process is its own series.
paired as (
    select
        ordered_scrapes.*,
        target_scrapes.previous_target_scraped_at,
        changed_tellers.told_by_other_until,
        lag(ordered_scrapes.usage_date) over process as previous_usage_date,
        lag(ordered_scrapes.scraped_at) over process as previous_scraped_at,
        lag(ordered_scrapes.prompt_tokens_since_start) over process as previous_prompt_tokens,
        lag(ordered_scrapes.prompt_cached_tokens_since_start) over process as previous_cached_tokens,
        lag(ordered_scrapes.prompt_transferred_tokens_since_start) over process as previous_transferred_tokens,
        lag(ordered_scrapes.generation_tokens_since_start) over process as previous_generation_tokens,
        lag(ordered_scrapes.requests_since_start) over process as previous_requests,
        lag(ordered_scrapes.requests_running_count) over process as previous_running_count,
        lag(ordered_scrapes.pod_uid) over process as previous_pod_uid
    from ordered_scrapes
    inner join target_scrapes
        on
            ordered_scrapes.series_host = target_scrapes.series_host
            and ordered_scrapes.target = target_scrapes.target
            and ordered_scrapes.scraped_at = target_scrapes.scraped_at
    left join changed_tellers
        on
            ordered_scrapes.told_by = changed_tellers.told_by
            and ordered_scrapes.series_host = changed_tellers.series_host
            and ordered_scrapes.target = changed_tellers.target
            and ordered_scrapes.replica_id is not distinct from changed_tellers.replica_id
            and ordered_scrapes.model_name = changed_tellers.model_name
            and ordered_scrapes.engine_rank = changed_tellers.engine_rank
            and ordered_scrapes.process_started_at is not distinct from changed_tellers.process_started_at
    -- What a day before told is told, whenever it was stamped.
    window process as (
        partition by
            ordered_scrapes.series_host, ordered_scrapes.target, ordered_scrapes.replica_id,
            ordered_scrapes.model_name, ordered_scrapes.engine_rank, ordered_scrapes.process_started_at
        order by
            case when ordered_scrapes.process_started_at is not null then ordered_scrapes.is_of_this_day end,
            ordered_scrapes.scraped_at
    )
),

refused as (
    select
        paired.*,
        own.usage_date is not null or earlier.usage_date is not null as is_refused
    from paired
    left join shared_addresses as own
        on
            paired.usage_date = own.usage_date
            and paired.series_host = own.series_host
            and paired.target = own.target
            and paired.scraped_at >= own.from_at
            and coalesce(paired.previous_scraped_at, paired.scraped_at) < own.to_at
    left join shared_addresses as earlier
        on
            paired.previous_usage_date = earlier.usage_date
            and paired.previous_usage_date < paired.usage_date
            and paired.series_host = earlier.series_host
            and paired.target = earlier.target
            and earlier.method = 'counters'
    where paired.is_of_this_day
),

judged as (
    select
        *,
        coalesce(process_started_at, pod_created_at) as began_at,
        case
            when is_refused then 'unknown'
            when
                coalesce(previous_usage_date < told_by_other_until, told_by_other_until is not null)
                and coalesce(coalesce(process_started_at, pod_created_at) < cast(usage_date as timestamp), true)
                then 'unknown'
            when
                previous_scraped_at is not null
                and process_started_at is null
                and (pod_uid != previous_pod_uid or pod_created_at > previous_scraped_at)
                then 'pod_made_anew'
            when
                previous_scraped_at is not null
                and (
                    prompt_tokens_since_start < previous_prompt_tokens
                    or generation_tokens_since_start < previous_generation_tokens
                )
                then 'counter_fell'
            when previous_scraped_at is not null then 'previous_scrape'
            when
                coalesce(process_started_at, pod_created_at) >= cast(usage_date as timestamp)
                or coalesce(process_started_at, pod_created_at) >= previous_target_scraped_at
                or coalesce(process_started_at, pod_created_at)
                >= scraped_at - to_milliseconds(3 * interval_milliseconds)
                then 'process_start'
            else 'unknown'
        end as baseline
    from refused
),

counted as (
    select
        *,
        case
            when baseline = 'previous_scrape' then prompt_tokens_since_start - previous_prompt_tokens
            when baseline != 'unknown' then prompt_tokens_since_start
        end as prompt_tokens,
        case
            when baseline = 'previous_scrape' and prompt_cached_tokens_since_start >= previous_cached_tokens
                then prompt_cached_tokens_since_start - previous_cached_tokens
            when baseline in ('counter_fell', 'pod_made_anew', 'process_start') then prompt_cached_tokens_since_start
        end as stated_cached_tokens,
        case
            when
                baseline = 'previous_scrape' and prompt_transferred_tokens_since_start >= previous_transferred_tokens
                then prompt_transferred_tokens_since_start - previous_transferred_tokens
            when baseline in ('counter_fell', 'pod_made_anew', 'process_start')
                then prompt_transferred_tokens_since_start
        end as transferred_tokens,
        case
            when baseline = 'previous_scrape' then generation_tokens_since_start - previous_generation_tokens
            when baseline != 'unknown' then generation_tokens_since_start
        end as output_tokens,
        case
            when baseline = 'previous_scrape' and requests_since_start >= previous_requests
                then requests_since_start - previous_requests
            when baseline in ('counter_fell', 'pod_made_anew', 'process_start') then requests_since_start
        end as request_count,
        case
            when baseline in ('previous_scrape', 'counter_fell') then previous_scraped_at
            when baseline = 'pod_made_anew' then greatest(previous_scraped_at, began_at)
            when baseline = 'process_start' then began_at
        end as counted_from_at
    from judged
),

timed as (
    select
        *,
        -- A prompt cannot be cached for more than its length; the classes stay disjoint and sum to the prompt.
        -- least() passes over a NULL, which would make an unknown split a full one.
        case
            when stated_cached_tokens is not null then least(stated_cached_tokens, prompt_tokens)
        end as input_cache_read_tokens,
        counted_from_at is not null
        and epoch_ms(scraped_at) - epoch_ms(counted_from_at) <= least(3 * interval_milliseconds, 900000)
        and interval_milliseconds <= 900000 as is_timed
    from counted
),

-- Timed tokens are spread from the previous scrape on; untimed ones are booked to the start of the scrape's own
-- interval, which lies on its usage_date.
final as (
    select
        usage_date,
        host,
        target,
        replica_id,
        model_name,
        engine_rank,
        process_started_at,
        scraped_at,
        pod_owner,
        agent_start_id,
        sequence_number,
        interval_milliseconds,
        gpu_uuids_json,
        gpu_shares_ppm_json,
        gpu_memory_bytes_json,
        gpu_method,
        baseline,
        is_refused,
        is_timed,
        counted_from_at,
        least(
            case
                when is_timed then greatest(counted_from_at, cast(usage_date as timestamp))
                else scraped_at - to_milliseconds(interval_milliseconds)
            end,
            scraped_at - to_milliseconds(1)
        ) as spread_from_at,
        case
            when is_timed then scraped_at
            else least(scraped_at, scraped_at - to_milliseconds(interval_milliseconds - 900000))
        end as spread_to_at,
        prompt_tokens - coalesce(input_cache_read_tokens, 0) as input_uncached_tokens,
        input_cache_read_tokens,
        transferred_tokens as of_which_transferred_tokens,
        output_tokens,
        request_count,
        requests_waiting_count,
        engine_role,
        identity_gap_tokens,
        input_cache_read_tokens is not null as has_cached_counter,
        coalesce(
            requests_running_count > 0
            or (previous_running_count > 0 and baseline = 'previous_scrape')
            or (is_timed and (prompt_tokens > 0 or output_tokens > 0 or request_count > 0)),
            false
        ) as is_serving
    from timed
)

select * from final
