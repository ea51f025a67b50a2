-- One row per usage_date, usage_hour_at, account, every dimension the usage report states, charge_kind, token_class.
-- Anthropic's metered usage with one row a token class: its uncached input excludes cache reads and writes, so the five
-- classes are disjoint as they come. Zero counts are left out; a bucket longer than an hour has no hour.
-- partition: day, days apart
with
results as (
    select * from landed_anthropic_usage_api__usage
),

hourly as (
    select
        usage_date,
        case
            when cast(ending_at as timestamp) - cast(starting_at as timestamp) <= interval 1 hour
                then date_trunc('hour', cast(starting_at as timestamp))
        end as usage_hour_at,
        account,
        workspace_id as sub_account_id,
        api_key_id,
        model as raw_model,
        service_tier,
        context_window,
        inference_geo,
        cast(sum(uncached_input_tokens) as bigint) as uncached_input_tokens,
        cast(sum(cache_read_input_tokens) as bigint) as cache_read_input_tokens,
        cast(sum(cache_creation_5m_input_tokens) as bigint) as cache_creation_5m_input_tokens,
        cast(sum(cache_creation_1h_input_tokens) as bigint) as cache_creation_1h_input_tokens,
        cast(sum(output_tokens) as bigint) as output_tokens,
        cast(sum(web_search_requests) as bigint) as web_search_requests
    from results
    group by all
),

measures (charge_kind, token_class) as (
    values
    ('tokens', 'input_uncached'),
    ('tokens', 'input_cache_read'),
    ('tokens', 'input_cache_write_5m'),
    ('tokens', 'input_cache_write_1h'),
    ('tokens', 'output'),
    ('web_search', null)
),

final as (
    select
        hourly.usage_date,
        hourly.usage_hour_at,
        hourly.account,
        hourly.sub_account_id,
        hourly.api_key_id,
        hourly.raw_model,
        hourly.service_tier,
        hourly.context_window,
        hourly.inference_geo,
        measures.charge_kind,
        cast(measures.token_class as varchar) as token_class,
        case measures.token_class
            when 'input_uncached' then hourly.uncached_input_tokens
            when 'input_cache_read' then hourly.cache_read_input_tokens
            when 'input_cache_write_5m' then hourly.cache_creation_5m_input_tokens
            when 'input_cache_write_1h' then hourly.cache_creation_1h_input_tokens
            when 'output' then hourly.output_tokens
        end as tokens,
        case
            when measures.charge_kind = 'web_search' then hourly.web_search_requests
        end as web_search_request_count
    from hourly
    cross join measures
)

select * from final
where tokens != 0 or web_search_request_count != 0
