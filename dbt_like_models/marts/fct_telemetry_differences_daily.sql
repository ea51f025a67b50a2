-- One row per usage_date, control_account, measure.
-- What a Prometheus kept of what agents saw too, beside what the agents say: GPU time of the GPU-hours that both
-- observed, and tokens of the engine processes that both read, between the readings that both have. The agents' is
-- counted; the other is never added to it.
-- partition: day
with
agent_hours as (
    select
        gpu_uuid,
        usage_hour_at,
        sum(observed_milliseconds) as observed_ms,
        sum(busy_milliseconds) as busy_ms
    from stg_nvml_spool__gpu_hours
    group by gpu_uuid, usage_hour_at
),

prometheus_hours as (
    select
        usage_date,
        account,
        gpu_uuid,
        usage_hour_at,
        sum(observed_milliseconds) as observed_ms,
        sum(busy_milliseconds) as busy_ms
    from stg_prometheus__gpu_hours
    group by usage_date, account, gpu_uuid, usage_hour_at
),

gpu_times as (
    select
        prometheus_hours.usage_date,
        prometheus_hours.account,
        measures.measure,
        case measures.measure
            when 'observed_gpu_time' then agent_hours.observed_ms
            else agent_hours.busy_ms
        end as book_quantity,
        case measures.measure
            when 'observed_gpu_time' then prometheus_hours.observed_ms
            else prometheus_hours.busy_ms
        end as control_quantity
    from prometheus_hours
    inner join agent_hours
        on
            prometheus_hours.gpu_uuid = agent_hours.gpu_uuid
            and prometheus_hours.usage_hour_at = agent_hours.usage_hour_at
    cross join (select unnest(['observed_gpu_time', 'busy_gpu_time']) as measure) as measures
),

-- A process is known to both by when it began; one that does not say is compared by nobody.
agent_readings as (
    select
        model_name,
        engine_rank,
        process_started_at,
        scraped_at,
        prompt_tokens_since_start,
        generation_tokens_since_start
    from stg_nvml_spool__engine_scrapes
    where is_valid and process_started_at is not null
),

prometheus_readings as (
    select
        usage_date,
        account,
        model_name,
        engine_rank,
        process_started_at,
        scraped_at,
        prompt_tokens_since_start,
        generation_tokens_since_start
    from stg_prometheus__engine_scrapes
    where is_valid and process_started_at is not null
),

agent_spans as (
    select
        model_name,
        engine_rank,
        process_started_at,
        min(scraped_at) as first_at,
        max(scraped_at) as last_at
    from agent_readings
    group by model_name, engine_rank, process_started_at
),

prometheus_spans as (
    select
        usage_date,
        account,
        model_name,
        engine_rank,
        process_started_at,
        min(scraped_at) as first_at,
        max(scraped_at) as last_at
    from prometheus_readings
    group by usage_date, account, model_name, engine_rank, process_started_at
),

spans as (
    select
        prometheus_spans.* replace (
            greatest(prometheus_spans.first_at, agent_spans.first_at) as first_at,
            least(prometheus_spans.last_at, agent_spans.last_at) as last_at
        )
    from prometheus_spans
    inner join agent_spans
        on
            prometheus_spans.model_name = agent_spans.model_name
            and prometheus_spans.engine_rank = agent_spans.engine_rank
            and prometheus_spans.process_started_at = agent_spans.process_started_at
),

agent_moves as (
    select
        spans.usage_date,
        spans.account,
        spans.model_name,
        spans.engine_rank,
        spans.process_started_at,
        max(readings.prompt_tokens_since_start) - min(readings.prompt_tokens_since_start) as prompt_tokens,
        max(readings.generation_tokens_since_start) - min(readings.generation_tokens_since_start) as output_tokens
    from spans
    inner join agent_readings as readings
        on
            spans.model_name = readings.model_name
            and spans.engine_rank = readings.engine_rank
            and spans.process_started_at = readings.process_started_at
            and readings.scraped_at between spans.first_at and spans.last_at
    group by spans.usage_date, spans.account, spans.model_name, spans.engine_rank, spans.process_started_at
),

prometheus_moves as (
    select
        spans.usage_date,
        spans.account,
        spans.model_name,
        spans.engine_rank,
        spans.process_started_at,
        max(readings.prompt_tokens_since_start) - min(readings.prompt_tokens_since_start) as prompt_tokens,
        max(readings.generation_tokens_since_start) - min(readings.generation_tokens_since_start) as output_tokens
    from spans
    inner join prometheus_readings as readings
        on
            spans.usage_date = readings.usage_date
            and spans.account = readings.account
            and spans.model_name = readings.model_name
            and spans.engine_rank = readings.engine_rank
            and spans.process_started_at = readings.process_started_at
            and readings.scraped_at between spans.first_at and spans.last_at
    group by spans.usage_date, spans.account, spans.model_name, spans.engine_rank, spans.process_started_at
),

tokens as (
    select
        prometheus_moves.usage_date,
        prometheus_moves.account,
        measures.measure,
        case measures.measure
            when 'prompt_tokens' then agent_moves.prompt_tokens
            else agent_moves.output_tokens
        end as book_quantity,
        case measures.measure
            when 'prompt_tokens' then prometheus_moves.prompt_tokens
            else prometheus_moves.output_tokens
        end as control_quantity
    from prometheus_moves
    inner join agent_moves
        on
            prometheus_moves.usage_date = agent_moves.usage_date
            and prometheus_moves.account = agent_moves.account
            and prometheus_moves.model_name = agent_moves.model_name
            and prometheus_moves.engine_rank = agent_moves.engine_rank
            and prometheus_moves.process_started_at = agent_moves.process_started_at
    cross join (select unnest(['prompt_tokens', 'output_tokens']) as measure) as measures
),

compared as (
    select * from gpu_times
    union all
    select * from tokens
),

final as (
    select
        usage_date,
        account as control_account,
        measure,
        case when measure like '%_tokens' then 'tokens' else 'GPU-milliseconds' end as unit,
        count(*) as compared_count,
        cast(sum(book_quantity) as bigint) as book_quantity,
        cast(sum(control_quantity) as bigint) as control_quantity,
        cast(sum(control_quantity - book_quantity) as bigint) as difference_quantity
    from compared
    group by usage_date, account, measure
)

select * from final
