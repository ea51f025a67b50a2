-- One row per usage_date, host, target, replica_id, model_name, engine_rank, process_started_at, is_valid.
-- Each engine process's last scrape of the day, and each target's last failed one: where the next day's count begins.
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
            order by scraped_at desc, agent_start_id asc, sequence_number asc
        ) = 1
)

select * from final
