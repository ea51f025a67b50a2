-- One row per usage_date, agent_start_id, model_name, engine_rank, sequence_number.
-- Every scrape of an engine's metrics, also the failed ones: counters as the engine stated them since its start.
-- partition: day, days apart
with
engine_scrapes as (
    select * from landed_nvml_spool__engine_scrapes
),

final as (
    select
        engine_scrapes.usage_date,
        engine_scrapes.host,
        engine_scrapes.boot_id,
        engine_scrapes.agent_start_id,
        engine_scrapes.model_name,
        engine_scrapes.engine_rank,
        engine_scrapes.sequence_number,
        engine_scrapes.at as scraped_at,
        engine_scrapes.interval_ms as interval_milliseconds,
        engine_scrapes.target,
        -- An agent reads an address of its own machine, which every machine has.
        engine_scrapes.host as series_host,
        engine_scrapes.replica_id,
        cast(null as varchar) as pod_uid,
        cast(null as timestamp) as pod_created_at,
        cast(null as varchar) as pod_owner,
        engine_scrapes.engine,
        engine_scrapes.engine_version,
        engine_scrapes.process_started_at,
        engine_scrapes.prompt_tokens as prompt_tokens_since_start,
        engine_scrapes.prompt_counts,
        engine_scrapes.prompt_tokens_cached as prompt_cached_tokens_since_start,
        engine_scrapes.generation_tokens as generation_tokens_since_start,
        engine_scrapes.requests_success as requests_since_start,
        engine_scrapes.requests_running as requests_running_count,
        engine_scrapes.requests_waiting as requests_waiting_count,
        engine_scrapes.identity_gap_tokens,
        engine_scrapes.prompt_tokens_transferred as prompt_transferred_tokens_since_start,
        engine_scrapes.engine_role,
        engine_scrapes.gpu_uuids as gpu_uuids_json,
        engine_scrapes.gpu_shares_ppm as gpu_shares_ppm_json,
        engine_scrapes.gpu_memory_bytes as gpu_memory_bytes_json,
        engine_scrapes.gpu_method,
        engine_scrapes.scrape_error,
        engine_scrapes.scrape_error is null
        and engine_scrapes.prompt_tokens is not null
        and engine_scrapes.generation_tokens is not null as is_valid
    from engine_scrapes
)

select * from final
