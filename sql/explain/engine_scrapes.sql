-- The landed scrapes of a deployment's engines, as the engines stated their counters, from the last days on: a count
-- begins at the scrape before it.
select
    scrapes.usage_date,
    scrapes.host,
    scrapes.target,
    scrapes.replica_id,
    scrapes.model_name,
    scrapes.engine_rank,
    scrapes.process_started_at,
    scrapes.at as scraped_at,
    scrapes.agent_start_id,
    scrapes.sequence_number,
    scrapes.prompt_tokens,
    scrapes.prompt_tokens_cached,
    scrapes.generation_tokens,
    scrapes.scrape_error,
    scrapes.object_number,
    scrapes.object_row
from traced_nvml_spool__engine_scrapes as scrapes
inner join (
    select distinct
        host,
        target
    from int_engine_deployments_daily
    where
        deployment_id = $deployment
        and usage_date >= cast($usage_date as date) - 1
        and usage_date <= cast($usage_date as date)
) as targets
    on scrapes.host = targets.host and scrapes.target = targets.target
order by
    scrapes.host, scrapes.target, scrapes.replica_id, scrapes.model_name, scrapes.engine_rank, scrapes.at,
    scrapes.agent_start_id, scrapes.sequence_number
