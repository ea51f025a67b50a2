-- One row per usage_date, agent_start_id, model_name, engine_rank, sequence_number.
-- Every scrape that counts of every engine. An engine process that an agent read on a day is told by the agent alone
-- that day: what a Prometheus kept of it is the same tokens again. The two know one process by when it began, and where
-- nobody says when, by its host.
-- partition: day, days apart
with
agent_scrapes as (
    select * from stg_nvml_spool__engine_scrapes
),

controls as (
    select distinct account
    from config_sources
    where source = 'prometheus' and role = 'control'
),

-- Two servers that were given the same target labels may hold one reading twice.
prometheus_scrapes as (
    select * exclude (account)
    from stg_prometheus__engine_scrapes
    where account not in (select controls.account from controls)
    qualify
        row_number() over (
            partition by usage_date, agent_start_id, model_name, engine_rank, sequence_number
            order by account
        ) = 1
),

agent_processes as (
    select distinct
        usage_date,
        host,
        model_name,
        engine_rank,
        process_started_at
    from agent_scrapes
    where is_valid
),

kept_scrapes as (
    select prometheus_scrapes.*
    from prometheus_scrapes
    left join agent_processes
        on
            prometheus_scrapes.usage_date = agent_processes.usage_date
            and prometheus_scrapes.model_name = agent_processes.model_name
            and prometheus_scrapes.engine_rank = agent_processes.engine_rank
            and (
                prometheus_scrapes.process_started_at = agent_processes.process_started_at
                or (
                    prometheus_scrapes.host = agent_processes.host
                    and (
                        prometheus_scrapes.process_started_at is null
                        or agent_processes.process_started_at is null
                    )
                )
            )
    where agent_processes.usage_date is null
),

final as (
    select
        *,
        'agent' as told_by
    from agent_scrapes
    union all by name
    select
        *,
        'prometheus' as told_by
    from kept_scrapes
)

select * from final
