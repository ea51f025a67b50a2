-- One row per usage_date, deployment_id, workload.
-- How far demand inside an hour rises above the hour's mean, at one minute, in a sampled week: Monday to the Sunday
-- that is its usage_date. From the hours that were read once a minute and in which requests did not queue.
-- partition: month
-- lookback: int_served_minutes 6 days
-- lookback: int_self_host_tokens_hourly 6 days
with
weeks as (
    select usage_date
    from calendar
    where isodow(usage_date) = 7
),

served_hours as (
    select
        weeks.usage_date,
        hourly.deployment_id,
        hourly.workload,
        count(distinct hourly.usage_hour_at) as served_hours_count
    from int_self_host_tokens_hourly as hourly
    inner join weeks
        on cast(date_trunc('week', hourly.usage_date) as date) + 6 = weeks.usage_date
    where hourly.deployment_id is not null and hourly.tokens > 0
    group by weeks.usage_date, hourly.deployment_id, hourly.workload
),

deployments as (
    select
        weeks.usage_date,
        config_deployments.*,
        prefill_tokens_per_second is not null and decode_tokens_per_second is not null as has_class_rates
    from config_deployments
    inner join weeks
        on
            weeks.usage_date >= coalesce(config_deployments.valid_from_date, weeks.usage_date)
            and weeks.usage_date < coalesce(config_deployments.valid_to_date, weeks.usage_date + 1)
),

stated_rates as (
    select
        usage_date,
        deployment_id,
        unnest(['input_uncached', 'input_cache_read', 'output']) as token_class,
        unnest([
            case when has_class_rates then prefill_tokens_per_second else tokens_per_second end,
            case
                when has_class_rates then coalesce(cached_tokens_per_second, prefill_tokens_per_second)
                else tokens_per_second
            end,
            case when has_class_rates then decode_tokens_per_second else tokens_per_second end
        ]) as tokens_per_second
    from deployments
),

-- Replica-femtoseconds of one token, rounded down once: whole numbers that add up in any order.
weights as (
    select
        usage_date,
        deployment_id,
        token_class,
        cast(1000000000000000000000 as hugeint)
        // greatest(cast(1000000 * cast(tokens_per_second as decimal(28, 6)) as hugeint), 1) as token_femtoseconds
    from stated_rates
    where tokens_per_second is not null
),

minutes as (
    select
        weeks.usage_date,
        int_served_minutes.deployment_id,
        int_served_minutes.workload,
        int_served_minutes.minute_at,
        date_trunc('hour', int_served_minutes.minute_at) as usage_hour_at,
        int_served_minutes.is_queued,
        max(int_served_minutes.longest_gap_milliseconds) as longest_gap_milliseconds,
        bool_and(weights.deployment_id is not null) as has_rates,
        sum(int_served_minutes.tokens * coalesce(weights.token_femtoseconds, 1)) as work
    from int_served_minutes
    inner join weeks
        on cast(date_trunc('week', int_served_minutes.usage_date) as date) + 6 = weeks.usage_date
    left join weights
        on
            weeks.usage_date = weights.usage_date
            and int_served_minutes.deployment_id = weights.deployment_id
            and int_served_minutes.token_class = weights.token_class
    group by
        weeks.usage_date, int_served_minutes.deployment_id, int_served_minutes.workload, int_served_minutes.minute_at,
        int_served_minutes.is_queued
),

hours as (
    select
        usage_date,
        deployment_id,
        workload,
        usage_hour_at,
        bool_and(coalesce(not is_queued, false)) as is_kept,
        bool_and(has_rates) as has_rates,
        max(longest_gap_milliseconds) as longest_gap_milliseconds,
        sum(work) as hour_work
    from minutes
    group by usage_date, deployment_id, workload, usage_hour_at
),

-- Busy: at least half the work of the busiest hour. In the others nothing is near a limit, and few requests make peaks
-- of their own.
judged_hours as (
    select
        *,
        is_kept and 2 * hour_work >= max(case when is_kept then hour_work end) over week_of_workload as is_busy,
        max(case when is_kept then hour_work end) over week_of_workload as busiest_work
    from hours
    window week_of_workload as (partition by usage_date, deployment_id, workload)
),

week_totals as (
    select
        usage_date,
        deployment_id,
        workload,
        count(*) as minute_hours_count,
        count(*) filter (where not is_kept) as queued_hours_count,
        count(*) filter (where is_busy) as busy_hours_count,
        max(case when is_kept then longest_gap_milliseconds end) as longest_gap_milliseconds,
        bool_and(has_rates) as has_rates,
        sum(case when is_kept then hour_work end) as kept_work,
        -- The least count whose replica-hours hold the busiest hour's mean.
        case
            when bool_and(has_rates) then (max(busiest_work) + 3599999999999999999) // 3600000000000000000
        end as mean_replica_count
    from judged_hours
    group by usage_date, deployment_id, workload
),

-- Rounded up: what is made of it errs to more replicas, not to fewer.
minute_ratios as (
    select
        minutes.usage_date,
        minutes.deployment_id,
        minutes.workload,
        minutes.minute_at,
        (60000000 * minutes.work + judged_hours.hour_work - 1) // judged_hours.hour_work as ratio_ppm
    from minutes
    inner join judged_hours
        on
            minutes.usage_date = judged_hours.usage_date
            and minutes.deployment_id = judged_hours.deployment_id
            and minutes.workload = judged_hours.workload
            and minutes.usage_hour_at = judged_hours.usage_hour_at
    where judged_hours.is_busy
),

ranked as (
    select
        *,
        row_number() over (
            partition by usage_date, deployment_id, workload order by ratio_ppm desc, minute_at asc
        ) as rank_from_the_top
    from minute_ratios
),

-- Nearest rank, ceil(0.99 n) of all n minutes, those without a token among them: counted from the top, where they are
-- not. No minute lies below a ratio of 0, so what is not there is no peak.
peaks as (
    select
        ranked.usage_date,
        ranked.deployment_id,
        ranked.workload,
        greatest(ranked.ratio_ppm, 1000000) as p99_minute_to_hour_ppm
    from ranked
    inner join week_totals
        on
            ranked.usage_date = week_totals.usage_date
            and ranked.deployment_id = week_totals.deployment_id
            and ranked.workload = week_totals.workload
    where ranked.rank_from_the_top = 60 * week_totals.busy_hours_count // 100 + 1
),

overflow as (
    select
        minutes.usage_date,
        minutes.deployment_id,
        minutes.workload,
        sum(greatest(minutes.work - week_totals.mean_replica_count * 60000000000000000, 0)) as overflow_work
    from minutes
    inner join week_totals
        on
            minutes.usage_date = week_totals.usage_date
            and minutes.deployment_id = week_totals.deployment_id
            and minutes.workload = week_totals.workload
    where not minutes.is_queued and week_totals.mean_replica_count is not null
    group by minutes.usage_date, minutes.deployment_id, minutes.workload
),

final as (
    select
        served_hours.usage_date,
        served_hours.deployment_id,
        served_hours.workload,
        served_hours.usage_date - 6 as week_from_date,
        served_hours.served_hours_count,
        coalesce(week_totals.minute_hours_count, 0) as minute_hours_count,
        coalesce(week_totals.queued_hours_count, 0) as queued_hours_count,
        coalesce(week_totals.busy_hours_count, 0) as busy_hours_count,
        week_totals.longest_gap_milliseconds,
        case
            when week_totals.has_rates then 'declared_throughput'
            when not week_totals.has_rates then 'tokens'
        end as work_method,
        case
            when week_totals.busy_hours_count > 0
                then cast(coalesce(peaks.p99_minute_to_hour_ppm, 1000000) as bigint)
        end as p99_minute_to_hour_ppm,
        cast(week_totals.mean_replica_count as bigint) as mean_replica_count,
        cast(
            (1000000 * overflow.overflow_work + week_totals.kept_work - 1) // week_totals.kept_work as bigint
        ) as overflow_within_hours_ppm
    from served_hours
    left join week_totals
        on
            served_hours.usage_date = week_totals.usage_date
            and served_hours.deployment_id = week_totals.deployment_id
            and served_hours.workload = week_totals.workload
    left join peaks
        on
            served_hours.usage_date = peaks.usage_date
            and served_hours.deployment_id = peaks.deployment_id
            and served_hours.workload = peaks.workload
    left join overflow
        on
            served_hours.usage_date = overflow.usage_date
            and served_hours.deployment_id = overflow.deployment_id
            and served_hours.workload = overflow.workload
)

select * from final
