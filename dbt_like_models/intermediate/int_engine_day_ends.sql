-- One row per usage_date, series_host, target, replica_id, model_name, engine_rank, process_started_at, is_valid.
-- Each engine process's last scrape of the day, and each target's last failed one: where the next day's count begins.
-- Of a process that says when it began the last one is where its counters stand highest, whoever's clock stamped it.
-- Of one that does not, no reading below one of the minute before it is the last: it is late, or the next day tells.
-- partition: day, days apart
with
engine_scrapes as (
    select * from int_engine_scrapes
),

unstated_readings as (
    select
        *,
        prompt_tokens_since_start < max(prompt_tokens_since_start) over minute_before
        or generation_tokens_since_start < max(generation_tokens_since_start) over minute_before as is_below,
        max(prompt_tokens_since_start) over minute_before as highest_prompt_before,
        max(generation_tokens_since_start) over minute_before as highest_generation_before,
        max(prompt_tokens_since_start) over minute_after as highest_prompt_after,
        max(generation_tokens_since_start) over minute_after as highest_generation_after
    from engine_scrapes
    where process_started_at is null and is_valid
    window
        minute_before as (
            partition by usage_date, series_host, target, replica_id, model_name, engine_rank
            order by epoch_ms(scraped_at)
            range between 59999 preceding and 1 preceding
        ),
        minute_after as (
            partition by usage_date, series_host, target, replica_id, model_name, engine_rank
            order by epoch_ms(scraped_at)
            range between 1 following and 59999 following
        )
),

kept_scrapes as (
    select * from engine_scrapes
    where process_started_at is not null or not is_valid
    union all by name
    select
        * exclude (
            is_below, highest_prompt_before, highest_generation_before, highest_prompt_after, highest_generation_after
        )
    from unstated_readings
    where
        not coalesce(is_below, false)
        or highest_prompt_after < highest_prompt_before
        or highest_generation_after < highest_generation_before
),

final as (
    select *
    from kept_scrapes
    qualify
        row_number() over (
            partition by
                usage_date, series_host, target, replica_id, model_name, engine_rank, process_started_at, is_valid
            order by
                case when process_started_at is not null then prompt_tokens_since_start end desc nulls last,
                case when process_started_at is not null then generation_tokens_since_start end desc nulls last,
                scraped_at desc, agent_start_id asc, sequence_number asc
        ) = 1
)

select * from final
