-- One row per usage_date, host, target, replica_id, model_name, engine_rank, process_started_at, is_valid.
-- Each engine process's last scrape of the day, and each target's last failed one: where the next day's count begins.
-- Of a process that says when it began the last one is where its counters stand highest, whoever's clock stamped it.
-- partition: day
with
engine_scrapes as (
    select * from int_engine_scrapes
),

final as (
    select *
    from engine_scrapes
    qualify
        row_number() over (
            partition by
                usage_date, host, target, replica_id, model_name, engine_rank, process_started_at, is_valid
            order by
                case when process_started_at is not null then prompt_tokens_since_start end desc nulls last,
                case when process_started_at is not null then generation_tokens_since_start end desc nulls last,
                scraped_at desc, agent_start_id asc, sequence_number asc
        ) = 1
)

select * from final
