-- One row per usage_date, host, target, model_name.
-- Which model names each engine answered to, and how many of its intervals could not be counted or timed.
-- partition: day, days apart
-- rows of: int_engine_intervals
-- lookback: int_engine_intervals 1 days
with
-- An interval that ends after midnight is of both days, as its tokens are.
engine_intervals as (
    select int_engine_intervals.* replace (days.usage_date as usage_date)
    from int_engine_intervals
    inner join calendar as days
        on
            int_engine_intervals.spread_to_at > days.day_start_at
            and int_engine_intervals.spread_from_at < days.day_end_at
),

final as (
    select
        usage_date,
        host,
        target,
        model_name,
        case when count(distinct pod_owner) = 1 then min(pod_owner) end as pod_owner,
        count(*) as scrape_count,
        count(*) filter (where baseline = 'unknown') as uncounted_count,
        count(*) filter (where baseline in ('counter_fell', 'pod_made_anew')) as reset_count,
        count(*) filter (where not is_timed) as untimed_count,
        count(*) filter (where is_refused) as refused_count,
        case when count(distinct engine_role) = 1 then min(engine_role) end as engine_role,
        cast(sum(input_uncached_tokens) + sum(coalesce(input_cache_read_tokens, 0)) as bigint) as prompt_tokens,
        cast(sum(of_which_transferred_tokens) as bigint) as of_which_transferred_tokens,
        cast(sum(output_tokens) as bigint) as output_tokens,
        cast(sum(request_count) as bigint) as request_count,
        count(identity_gap_tokens) as identity_count,
        min(identity_gap_tokens) as least_identity_gap_tokens,
        bool_and(has_cached_counter or baseline = 'unknown') as has_cached_counter
    from engine_intervals
    group by usage_date, host, target, model_name
)

select * from final
