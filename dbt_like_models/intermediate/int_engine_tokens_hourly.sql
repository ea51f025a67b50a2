-- One row per usage_date, usage_hour_at, host, target, model_name, token_class.
-- Tokens that engines served, by UTC hour: an interval that crosses the full hour is split by milliseconds, exactly.
-- A row with 0 tokens was watched and served nothing; an hour without a row was not watched.
-- partition: day, days apart
-- rows of: int_engine_intervals
-- lookback: int_engine_intervals 1 days
with
engine_intervals as (
    select * from int_engine_intervals
),

token_classes as (
    select unnest(['input_uncached', 'input_cache_read', 'output']) as token_class
),

classes as (
    select
        engine_intervals.*,
        token_classes.token_class,
        case token_classes.token_class
            when 'input_uncached' then engine_intervals.input_uncached_tokens
            when 'input_cache_read' then engine_intervals.input_cache_read_tokens
            when 'output' then engine_intervals.output_tokens
        end as interval_tokens
    from engine_intervals
    cross join token_classes
    where engine_intervals.baseline != 'unknown'
),

-- No interval is longer than 15 minutes, so it touches two hours at most.
measured as (
    select
        *,
        epoch_ms(spread_from_at) // 3600000 as first_hour_number,
        (epoch_ms(spread_to_at) - 1) // 3600000 as last_hour_number,
        epoch_ms(spread_to_at) - epoch_ms(spread_from_at) as whole_ms,
        greatest(epoch_ms(spread_to_at) - (epoch_ms(spread_from_at) // 3600000 + 1) * 3600000, 0) as last_hour_ms
    from classes
    where interval_tokens is not null
),

-- Largest remainder over two parts; a tie goes to the earlier hour.
split as (
    select
        *,
        (interval_tokens * last_hour_ms) // whole_ms
        + case when 2 * ((interval_tokens * last_hour_ms) % whole_ms) > whole_ms then 1 else 0 end as last_hour_tokens
    from measured
),

hour_parts as (
    select
        host,
        target,
        model_name,
        token_class,
        is_timed,
        has_cached_counter,
        baseline,
        first_hour_number as hour_number,
        interval_tokens - last_hour_tokens as tokens
    from split
    union all
    select
        host,
        target,
        model_name,
        token_class,
        is_timed,
        has_cached_counter,
        baseline,
        last_hour_number as hour_number,
        last_hour_tokens as tokens
    from split
    where last_hour_number > first_hour_number
),

dated as (
    select
        *,
        make_timestamp_ms(hour_number * 3600000) as usage_hour_at,
        cast(make_timestamp_ms(hour_number * 3600000) as date) as usage_date
    from hour_parts
),

final as (
    select
        dated.usage_date,
        dated.usage_hour_at,
        dated.host,
        dated.target,
        dated.model_name,
        dated.token_class,
        cast(sum(dated.tokens) as bigint) as tokens,
        cast(sum(case when dated.is_timed then 0 else dated.tokens end) as bigint) as of_which_untimed_tokens,
        cast(sum(case when dated.baseline in ('counter_fell', 'pod_made_anew') then dated.tokens else 0 end) as bigint)
            as of_which_after_reset_tokens,
        cast(
            sum(
                case
                    when dated.token_class = 'input_uncached' and not dated.has_cached_counter then dated.tokens
                    else 0
                end
            ) as bigint
        ) as of_which_cache_unknown_tokens
    from dated
    inner join calendar as days
        on dated.usage_date = days.usage_date
    group by
        dated.usage_date, dated.usage_hour_at, dated.host, dated.target, dated.model_name, dated.token_class
)

select * from final
