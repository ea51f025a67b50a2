-- One row per usage_date, minute_at, deployment_id, workload, token_class.
-- Tokens that engines served in each minute, of the hours that were read about once a minute from end to end: peaks
-- inside the hour are seen in these alone. A minute of such an hour without a row served nothing.
-- A minute's tokens add up to those of its hour in int_self_host_tokens_hourly, exactly.
-- partition: day
-- lookback: int_engine_intervals 1 days
with
engine_intervals as (
    select
        *,
        epoch_ms(spread_from_at) as from_ms,
        epoch_ms(spread_to_at) as to_ms,
        epoch_ms(spread_to_at) - epoch_ms(spread_from_at) as whole_ms,
        coalesce(
            is_timed and baseline != 'unknown' and epoch_ms(spread_to_at) - epoch_ms(spread_from_at) <= 75000, false
        ) as is_fine
    from int_engine_intervals
),

this_day as (
    select
        epoch_ms(cast(from_date as timestamp)) // 3600000 as first_hour_number,
        epoch_ms(cast(to_date as timestamp)) // 3600000 - 1 as last_hour_number
    from this_partition
),

workloads as (
    select * from int_self_host_workloads_daily
    where deployment_id is not null
),

-- What is not fine is unknown from the reading before it on, however long ago that was.
hours_touched as (
    select
        engine_intervals.*,
        unnest(
            range(
                greatest(
                    case
                        when engine_intervals.is_fine then engine_intervals.from_ms
                        else least(
                            engine_intervals.from_ms,
                            coalesce(epoch_ms(engine_intervals.counted_from_at), engine_intervals.from_ms)
                        )
                    end // 3600000,
                    this_day.first_hour_number
                ),
                least((epoch_ms(engine_intervals.scraped_at) - 1) // 3600000, this_day.last_hour_number) + 1
            )
        ) as hour_number
    from engine_intervals
    cross join this_day
),

-- One process, one hour: watched from end to end but for the time of one reading. The day boundary may cut one short.
process_hours as (
    select
        host,
        target,
        model_name,
        hour_number,
        bool_and(is_fine)
        and sum(
            greatest(least(to_ms, (hour_number + 1) * 3600000) - greatest(from_ms, hour_number * 3600000), 0)
        ) >= 3525000 as is_watched,
        max(whole_ms) as longest_gap_milliseconds,
        count(requests_waiting_count) as reading_count,
        count(*) filter (where requests_waiting_count > 0) as waiting_count
    from hours_touched
    group by host, target, replica_id, model_name, engine_rank, process_started_at, hour_number
),

-- An hour in which requests waited at more than one reading in twenty shows what its engines could serve, not what was
-- asked of them.
workload_hours as (
    select
        workloads.deployment_id,
        workloads.workload,
        process_hours.hour_number,
        max(process_hours.longest_gap_milliseconds) as longest_gap_milliseconds,
        case
            when sum(process_hours.reading_count) > 0
                then 20 * sum(process_hours.waiting_count) > sum(process_hours.reading_count)
        end as is_queued
    from process_hours
    inner join workloads
        on
            workloads.usage_date = cast(make_timestamp_ms(process_hours.hour_number * 3600000) as date)
            and process_hours.host = workloads.host
            and process_hours.target = workloads.target
            and process_hours.model_name = workloads.model_name
    group by workloads.deployment_id, workloads.workload, process_hours.hour_number
    having bool_and(process_hours.is_watched)
),

minute_parts as (
    select
        *,
        unnest(range(from_ms // 60000, (to_ms - 1) // 60000 + 1)) as minute_number
    from engine_intervals
    where is_fine
),

-- What is left of the interval from the minute's start on, and after its end.
cut as (
    select
        *,
        least(to_ms - minute_number * 60000, whole_ms) as left_ms,
        greatest(to_ms - (minute_number + 1) * 60000, 0) as after_ms
    from minute_parts
),

token_classes as (
    select unnest(['input_uncached', 'input_cache_read', 'output']) as token_class
),

classes as (
    select
        cut.host,
        cut.target,
        cut.model_name,
        cut.minute_number,
        cut.whole_ms,
        cut.left_ms,
        cut.after_ms,
        token_classes.token_class,
        case token_classes.token_class
            when 'input_uncached' then cut.input_uncached_tokens
            when 'input_cache_read' then cut.input_cache_read_tokens
            when 'output' then cut.output_tokens
        end as interval_tokens
    from cut
    cross join token_classes
),

-- Rounded as int_engine_tokens_hourly rounds what lies after the full hour, so that minutes and hours agree.
split as (
    select
        *,
        (interval_tokens * left_ms) // whole_ms
        + case when 2 * ((interval_tokens * left_ms) % whole_ms) > whole_ms then 1 else 0 end
        - (interval_tokens * after_ms) // whole_ms
        - case when 2 * ((interval_tokens * after_ms) % whole_ms) > whole_ms then 1 else 0 end as tokens
    from classes
    where interval_tokens > 0
),

final as (
    select
        cast(make_timestamp_ms(split.minute_number * 60000) as date) as usage_date,
        make_timestamp_ms(split.minute_number * 60000) as minute_at,
        workload_hours.deployment_id,
        workload_hours.workload,
        split.token_class,
        workload_hours.is_queued,
        workload_hours.longest_gap_milliseconds,
        cast(sum(split.tokens) as bigint) as tokens
    from split
    inner join workloads
        on
            workloads.usage_date = cast(make_timestamp_ms(split.minute_number * 60000) as date)
            and split.host = workloads.host
            and split.target = workloads.target
            and split.model_name = workloads.model_name
    inner join workload_hours
        on
            workloads.deployment_id = workload_hours.deployment_id
            and workloads.workload = workload_hours.workload
            and split.minute_number // 60 = workload_hours.hour_number
    left join int_engine_roles_daily as roles
        on
            roles.usage_date = cast(make_timestamp_ms(split.minute_number * 60000) as date)
            and split.host = roles.host
            and split.target = roles.target
            and split.model_name = roles.model_name
    where
        roles.usage_date is null
        or case when split.token_class = 'output' then roles.counts_outputs else roles.counts_prompts end
    group by all
    having sum(split.tokens) > 0
)

select * from final
