-- One row per usage_date, usage_hour_at, deployment_id.
-- What each deployment's engines did in an hour: GPU time with a request, tokens by class, and how often a reading
-- found requests that wait. Saturated: at nine of ten readings some waited, and the GPUs served 95% of the hour.
-- A prompt that one engine computes for another, and the first token of its answer, are there once.
-- Where an engine does not count cache reads its uncached tokens hold them: none counted is not none read.
-- partition: day, days apart
-- rows of: int_engine_hours
with
engine_hours as (
    select * from int_engine_hours
),

engine_tokens as (
    select * from int_engine_tokens_hourly
),

engine_scrapes as (
    select * from int_engine_scrapes
    where is_valid
),

engine_deployments as (
    select * from int_engine_deployments_daily
),

-- An address behind which two deployments answer has no time of its own.
targets as (
    select
        usage_date,
        host,
        target,
        min(deployment_id) as deployment_id
    from engine_deployments
    group by usage_date, host, target
    having count(distinct deployment_id) = 1 and count(deployment_id) = count(*)
),

busy as (
    select
        engine_hours.usage_date,
        engine_hours.usage_hour_at,
        targets.deployment_id,
        count(distinct engine_hours.host || ' ' || engine_hours.gpu_uuid) as gpu_count,
        cast(sum(engine_hours.serving_milliseconds) as bigint) as serving_gpu_milliseconds
    from engine_hours
    inner join targets
        on
            engine_hours.usage_date = targets.usage_date
            and engine_hours.host = targets.host
            and engine_hours.target = targets.target
    group by engine_hours.usage_date, engine_hours.usage_hour_at, targets.deployment_id
),

tokens as (
    select
        engine_tokens.usage_date,
        engine_tokens.usage_hour_at,
        targets.deployment_id,
        cast(sum(engine_tokens.tokens) filter (where engine_tokens.token_class = 'input_uncached') as bigint)
            as input_uncached_tokens,
        cast(sum(engine_tokens.tokens) filter (where engine_tokens.token_class = 'input_cache_read') as bigint)
            as input_cache_read_tokens,
        cast(sum(engine_tokens.tokens) filter (where engine_tokens.token_class = 'output') as bigint) as output_tokens,
        cast(sum(engine_tokens.of_which_untimed_tokens) as bigint) as of_which_untimed_tokens,
        cast(sum(engine_tokens.of_which_cache_unknown_tokens) as bigint) as of_which_cache_unknown_tokens
    from engine_tokens
    inner join targets
        on
            engine_tokens.usage_date = targets.usage_date
            and engine_tokens.host = targets.host
            and engine_tokens.target = targets.target
    left join int_engine_roles_daily as roles
        on
            engine_tokens.usage_date = roles.usage_date
            and engine_tokens.host = roles.host
            and engine_tokens.target = roles.target
            and engine_tokens.model_name = roles.model_name
    where
        roles.usage_date is null
        or case when engine_tokens.token_class = 'output' then roles.counts_outputs else roles.counts_prompts end
    group by engine_tokens.usage_date, engine_tokens.usage_hour_at, targets.deployment_id
),

readings as (
    select
        engine_scrapes.usage_date,
        date_trunc('hour', engine_scrapes.scraped_at - to_milliseconds(1)) as usage_hour_at,
        targets.deployment_id,
        count(*) as readings_count,
        count(*) filter (where engine_scrapes.requests_waiting_count > 0) as waiting_readings_count
    from engine_scrapes
    inner join targets
        on
            engine_scrapes.usage_date = targets.usage_date
            and engine_scrapes.host = targets.host
            and engine_scrapes.target = targets.target
    group by
        engine_scrapes.usage_date, date_trunc('hour', engine_scrapes.scraped_at - to_milliseconds(1)),
        targets.deployment_id
),

final as (
    select
        busy.usage_date,
        busy.usage_hour_at,
        busy.deployment_id,
        busy.gpu_count,
        busy.serving_gpu_milliseconds,
        tokens.input_uncached_tokens,
        tokens.input_cache_read_tokens,
        tokens.output_tokens,
        tokens.of_which_untimed_tokens,
        tokens.of_which_cache_unknown_tokens,
        case
            when tokens.of_which_cache_unknown_tokens > 0
                then
                    case
                        when tokens.of_which_cache_unknown_tokens < tokens.input_uncached_tokens then 'some'
                        when tokens.input_cache_read_tokens > 0 then 'some'
                        else 'none'
                    end
            when tokens.input_uncached_tokens > 0 or tokens.input_cache_read_tokens > 0 then 'all'
        end as cache_reads_counted,
        readings.readings_count,
        readings.waiting_readings_count,
        coalesce(
            readings.waiting_readings_count * 10 >= readings.readings_count * 9
            and busy.serving_gpu_milliseconds * 100 >= busy.gpu_count * 3600000 * 95
            and tokens.of_which_untimed_tokens = 0,
            false
        ) as is_saturated
    from busy
    left join tokens
        on
            busy.usage_date = tokens.usage_date
            and busy.usage_hour_at = tokens.usage_hour_at
            and busy.deployment_id = tokens.deployment_id
    left join readings
        on
            busy.usage_date = readings.usage_date
            and busy.usage_hour_at = readings.usage_hour_at
            and busy.deployment_id = readings.deployment_id
)

select * from final
