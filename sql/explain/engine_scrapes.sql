-- The landed scrapes of a deployment's engines, as the engines stated their counters, from the last days on: a count
-- begins at the scrape before it, which another teller of the process may have read under another host and target.
with
scrapes as (
    select
        spool.usage_date,
        spool.host,
        spool.target,
        spool.replica_id,
        spool.engine,
        spool.model_name,
        spool.engine_rank,
        spool.process_started_at,
        spool.at as scraped_at,
        spool.agent_start_id,
        spool.sequence_number,
        spool.prompt_tokens,
        spool.prompt_counts,
        spool.prompt_tokens_cached,
        spool.generation_tokens,
        spool.scrape_error,
        spool.object_number,
        spool.object_row
    from traced_nvml_spool__engine_scrapes as spool
    union all
    select
        usage_date,
        host,
        target,
        replica_id,
        engine,
        model_name,
        engine_rank,
        process_started_at,
        scraped_at,
        agent_start_id,
        sequence_number,
        prompt_tokens_since_start as prompt_tokens,
        prompt_counts,
        prompt_cached_tokens_since_start as prompt_tokens_cached,
        generation_tokens_since_start as generation_tokens,
        scrape_error,
        object_number,
        object_row
    from traced_stg_prometheus__engine_scrapes
),

deployments as (
    select *
    from int_engine_deployments_daily
    where
        deployment_id = $deployment
        and usage_date >= cast($usage_date as date) - 1
        and usage_date <= cast($usage_date as date)
)

select
    scrapes.usage_date,
    scrapes.host,
    scrapes.target,
    scrapes.replica_id,
    scrapes.engine,
    scrapes.model_name,
    scrapes.engine_rank,
    scrapes.process_started_at,
    scrapes.scraped_at,
    scrapes.agent_start_id,
    scrapes.sequence_number,
    scrapes.prompt_tokens,
    scrapes.prompt_counts,
    scrapes.prompt_tokens_cached,
    scrapes.generation_tokens,
    scrapes.scrape_error,
    scrapes.object_number,
    scrapes.object_row
from scrapes
where
    (scrapes.host, scrapes.target) in (
        select
            deployments.host,
            deployments.target
        from deployments
    )
    or (scrapes.model_name, scrapes.engine_rank, scrapes.process_started_at) in (
        select
            intervals.model_name,
            intervals.engine_rank,
            intervals.process_started_at
        from int_engine_intervals as intervals
        inner join deployments
            on
                intervals.usage_date = deployments.usage_date
                and intervals.host = deployments.host
                and intervals.target = deployments.target
                and intervals.model_name = deployments.model_name
        where
            intervals.usage_date >= cast($usage_date as date) - 1
            and intervals.usage_date <= cast($usage_date as date)
            and intervals.process_started_at is not null
    )
order by
    scrapes.host, scrapes.target, scrapes.replica_id, scrapes.model_name, scrapes.engine_rank, scrapes.scraped_at,
    scrapes.agent_start_id, scrapes.sequence_number
