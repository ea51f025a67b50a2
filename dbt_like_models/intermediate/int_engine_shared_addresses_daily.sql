-- One row per usage_date, series_host, target.
-- Addresses behind which two engine processes answered in turn, as two pods behind one service do: from when to when it
-- cannot be said whose counters, GPUs and requests a reading is of, nor whether a third one never answered.
-- Processes that say when they began: the older one answered more than a minute after the newer one first did. No
-- engine comes back from the dead; two servers of one pair differ by seconds. Of others the counters tell: at least
-- twice a day they fell below what stood there more than a minute before, to where they had gone on from below it
-- already. A restart begins anew, and a late reading is never that late. That is of the whole day: a day's ends are of
-- either.
-- partition: day, days apart
-- rows of: int_engine_scrapes
with
readings as (
    select * from int_engine_scrapes
    where is_valid
),

processes as (
    select
        usage_date,
        series_host,
        target,
        model_name,
        engine_rank,
        process_started_at,
        min(host) as host,
        min(scraped_at) as first_scraped_at,
        max(scraped_at) as last_scraped_at
    from readings
    where process_started_at is not null
    group by usage_date, series_host, target, model_name, engine_rank, process_started_at
),

overlapping as (
    select
        older.usage_date,
        older.series_host,
        older.target,
        min(older.host) as host,
        min(newer.first_scraped_at) as from_at,
        max(older.last_scraped_at) as to_at,
        count(*) as overlap_count
    from processes as older
    inner join processes as newer
        on
            older.usage_date = newer.usage_date
            and older.series_host = newer.series_host
            and older.target = newer.target
            and older.model_name = newer.model_name
            and older.engine_rank = newer.engine_rank
            and older.process_started_at < newer.process_started_at
            and older.last_scraped_at > newer.first_scraped_at + interval 60 second
    group by older.usage_date, older.series_host, older.target
),

unstated as (
    select
        *,
        coalesce(
            prompt_tokens_since_start < max(prompt_tokens_since_start) over hour_before
            and generation_tokens_since_start < max(generation_tokens_since_start) over hour_before,
            false
        ) as is_low
    from readings
    where process_started_at is null
    window hour_before as (
        partition by usage_date, series_host, target, replica_id, model_name, engine_rank
        order by epoch_ms(scraped_at)
        range between 3600000 preceding and 60000 preceding
    )
),

-- Where the low ones left off, as often as it is gone on from there after a high one.
turns as (
    select
        *,
        lag(is_low) over process as was_low,
        last_value(case when is_low then prompt_tokens_since_start end ignore nulls) over earlier as low_prompt_tokens,
        last_value(case when is_low then generation_tokens_since_start end ignore nulls) over earlier
            as low_generation_tokens
    from unstated
    window
        process as (
            partition by usage_date, series_host, target, replica_id, model_name, engine_rank
            order by scraped_at, agent_start_id, sequence_number
        ),
        earlier as (
            partition by usage_date, series_host, target, replica_id, model_name, engine_rank
            order by scraped_at, agent_start_id, sequence_number
            rows between unbounded preceding and 1 preceding
        )
),

resumed as (
    select
        usage_date,
        series_host,
        target,
        min(host) as host,
        count(*) as resumed_count
    from turns
    where
        is_low
        and not was_low
        and prompt_tokens_since_start >= low_prompt_tokens
        and generation_tokens_since_start >= low_generation_tokens
    group by usage_date, series_host, target, replica_id, model_name, engine_rank
    having count(*) >= 2
),

found as (
    select
        usage_date,
        series_host,
        target,
        host,
        'process_starts' as method,
        from_at,
        to_at,
        overlap_count as evidence_count
    from overlapping
    union all
    select
        usage_date,
        series_host,
        target,
        min(host) as host,
        'counters' as method,
        cast(usage_date as timestamp) as from_at,
        cast(usage_date + 1 as timestamp) as to_at,
        sum(resumed_count) as evidence_count
    from resumed
    group by usage_date, series_host, target
),

final as (
    select
        usage_date,
        series_host,
        target,
        min(host) as host,
        min(method) as method,
        min(from_at) as from_at,
        max(to_at) as to_at,
        cast(sum(evidence_count) as bigint) as evidence_count
    from found
    group by usage_date, series_host, target
)

select * from final
