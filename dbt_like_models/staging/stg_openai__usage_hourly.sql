-- One row per usage_date, usage_hour_at, source, account, activity, every dimension that a result states, charge_kind,
-- token_class.
-- OpenAI's metered usage, from its usage endpoints and from the dashboard's exports of the same fields, with one row a
-- token class. `input_tokens` hold cached and cache-written tokens too: input_uncached is what is left of them. A part
-- that a result leaves out is none of them, as in results of before it was counted (OpenAI: input = uncached + cached +
-- written, a missing part being 0). Parts that come to more than the whole, or that leave another rest than the stated
-- uncached part, are not believed: such input stays whole, as class `input`.
-- Audio, and images that are made, are classes of their own where they fit into their class. Image input stays with
-- text, as on the bill. Reasoning is inside output. Zero counts are left out; a bucket longer than an hour has no hour.
-- partition: day, days apart
with
results as (
    select
        *,
        'openai_usage_api' as counted_by,
        'completions' as activity
    from landed_openai_usage_api__completions
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'decisions' as activity
    from landed_openai_usage_api__decisions
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'embeddings' as activity
    from landed_openai_usage_api__embeddings
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'moderations' as activity
    from landed_openai_usage_api__moderations
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'images' as activity
    from landed_openai_usage_api__images
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'audio_speeches' as activity
    from landed_openai_usage_api__audio_speeches
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'audio_transcriptions' as activity
    from landed_openai_usage_api__audio_transcriptions
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'vector_stores' as activity
    from landed_openai_usage_api__vector_stores
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'code_interpreter_sessions' as activity
    from landed_openai_usage_api__code_interpreter_sessions
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'file_search_calls' as activity
    from landed_openai_usage_api__file_search_calls
    union all by name
    select
        *,
        'openai_usage_api' as counted_by,
        'web_search_calls' as activity
    from landed_openai_usage_api__web_search_calls
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'completions' as activity
    from landed_openai_dashboard_csv__completions
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'decisions' as activity
    from landed_openai_dashboard_csv__decisions
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'embeddings' as activity
    from landed_openai_dashboard_csv__embeddings
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'moderations' as activity
    from landed_openai_dashboard_csv__moderations
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'images' as activity
    from landed_openai_dashboard_csv__images
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'audio_speeches' as activity
    from landed_openai_dashboard_csv__audio_speeches
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'audio_transcriptions' as activity
    from landed_openai_dashboard_csv__audio_transcriptions
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'vector_stores' as activity
    from landed_openai_dashboard_csv__vector_stores
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'code_interpreter_sessions' as activity
    from landed_openai_dashboard_csv__code_interpreter_sessions
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'file_search_calls' as activity
    from landed_openai_dashboard_csv__file_search_calls
    union all by name
    select
        *,
        'openai_dashboard_csv' as counted_by,
        'web_search_calls' as activity
    from landed_openai_dashboard_csv__web_search_calls
),

-- `input_cache_write_tokens` are all written tokens where the 30-minute ones stand beside them, else the 30-minute ones
-- alone; the uncached part decides where it can.
written as (
    select
        *,
        coalesce(input_cached_tokens, 0) as cached,
        coalesce(input_cache_write_12h_tokens, 0) as written_12h,
        case
            when input_cache_write_30m_tokens is not null
                then greatest(
                    coalesce(input_cache_write_tokens, 0),
                    input_cache_write_30m_tokens + coalesce(input_cache_write_12h_tokens, 0)
                )
            when
                input_tokens - coalesce(input_cached_tokens, 0) - input_uncached_tokens = input_cache_write_tokens
                and input_cache_write_tokens >= coalesce(input_cache_write_12h_tokens, 0)
                then input_cache_write_tokens
            else coalesce(input_cache_write_tokens, 0) + coalesce(input_cache_write_12h_tokens, 0)
        end as written
    from results
),

parted as (
    select
        *,
        input_tokens - cached - written as uncached,
        coalesce(input_cache_write_30m_tokens, written - written_12h) as written_30m,
        input_tokens - cached - written >= 0
        and coalesce(input_uncached_tokens = input_tokens - cached - written, true) as is_parted
    from written
),

heard as (
    select
        *,
        coalesce(input_audio_tokens, 0) <= uncached and coalesce(input_cached_audio_tokens, 0) <= cached
            as is_input_heard,
        coalesce(output_audio_tokens, 0) + coalesce(output_image_tokens, 0) <= output_tokens as is_output_heard
    from parted
),

-- A batch job says so by itself; `default` is the standard tier, `flex-tier` the flex one.
counted as (
    select
        usage_date,
        case
            when end_time - start_time <= 3600 then date_trunc('hour', make_timestamp(start_time * 1000000))
        end as usage_hour_at,
        counted_by as source,
        account,
        activity,
        project_id as sub_account_id,
        api_key_id,
        model as raw_model,
        case
            when batch then 'batch'
            when lower(service_tier) in ('default', 'auto', 'standard') then 'standard'
            else regexp_replace(lower(service_tier), '[-_ ]tier$', '')
        end as service_tier,
        case when not is_parted then input_tokens end as input_whole,
        case
            when is_parted then uncached - if(is_input_heard, coalesce(input_audio_tokens, 0), 0)
        end as input_uncached,
        case when is_parted and is_input_heard then input_audio_tokens end as input_uncached_audio,
        case
            when is_parted then cached - if(is_input_heard, coalesce(input_cached_audio_tokens, 0), 0)
        end as input_cache_read,
        case when is_parted and is_input_heard then input_cached_audio_tokens end as input_cache_read_audio,
        case when is_parted then written_30m end as input_cache_write_30m,
        case when is_parted then written_12h end as input_cache_write_12h,
        case when is_parted then written - written_30m - written_12h end as input_cache_write,
        output_tokens
        - if(is_output_heard, coalesce(output_audio_tokens, 0) + coalesce(output_image_tokens, 0), 0)
            as output_text,
        case when is_output_heard then output_audio_tokens end as output_audio,
        case when is_output_heard then output_image_tokens end as output_image,
        case when activity = 'web_search_calls' then num_requests end as web_searches,
        case activity
            when 'images' then images
            when 'audio_speeches' then characters
            when 'audio_transcriptions' then seconds
            when 'vector_stores' then usage_bytes
            when 'code_interpreter_sessions' then num_sessions
            when 'file_search_calls' then num_requests
        end as others
    from heard
),

hourly as (
    select
        usage_date,
        usage_hour_at,
        source,
        account,
        activity,
        sub_account_id,
        api_key_id,
        raw_model,
        service_tier,
        cast(sum(input_whole) as bigint) as input_whole,
        cast(sum(input_uncached) as bigint) as input_uncached,
        cast(sum(input_uncached_audio) as bigint) as input_uncached_audio,
        cast(sum(input_cache_read) as bigint) as input_cache_read,
        cast(sum(input_cache_read_audio) as bigint) as input_cache_read_audio,
        cast(sum(input_cache_write_30m) as bigint) as input_cache_write_30m,
        cast(sum(input_cache_write_12h) as bigint) as input_cache_write_12h,
        cast(sum(input_cache_write) as bigint) as input_cache_write,
        cast(sum(output_text) as bigint) as output_text,
        cast(sum(output_audio) as bigint) as output_audio,
        cast(sum(output_image) as bigint) as output_image,
        cast(sum(web_searches) as bigint) as web_searches,
        cast(sum(others) as bigint) as others
    from counted
    group by all
),

measures (charge_kind, token_class) as (
    values
    ('tokens', 'input'),
    ('tokens', 'input_uncached'),
    ('tokens', 'input_uncached_audio'),
    ('tokens', 'input_cache_read'),
    ('tokens', 'input_cache_read_audio'),
    ('tokens', 'input_cache_write_30m'),
    ('tokens', 'input_cache_write_12h'),
    ('tokens', 'input_cache_write'),
    ('tokens', 'output'),
    ('tokens', 'output_audio'),
    ('tokens', 'output_image'),
    ('web_search', null),
    ('other', null)
),

final as (
    select
        hourly.usage_date,
        hourly.usage_hour_at,
        hourly.source,
        hourly.account,
        hourly.activity,
        hourly.sub_account_id,
        hourly.api_key_id,
        hourly.raw_model,
        hourly.service_tier,
        measures.charge_kind,
        cast(measures.token_class as varchar) as token_class,
        case measures.token_class
            when 'input' then hourly.input_whole
            when 'input_uncached' then hourly.input_uncached
            when 'input_uncached_audio' then hourly.input_uncached_audio
            when 'input_cache_read' then hourly.input_cache_read
            when 'input_cache_read_audio' then hourly.input_cache_read_audio
            when 'input_cache_write_30m' then hourly.input_cache_write_30m
            when 'input_cache_write_12h' then hourly.input_cache_write_12h
            when 'input_cache_write' then hourly.input_cache_write
            when 'output' then hourly.output_text
            when 'output_audio' then hourly.output_audio
            when 'output_image' then hourly.output_image
        end as tokens,
        case when measures.charge_kind = 'web_search' then hourly.web_searches end as web_search_request_count,
        case when measures.charge_kind = 'other' then hourly.others end as other_quantity,
        case
            when measures.charge_kind != 'other' then null
            when hourly.activity = 'images' then 'images'
            when hourly.activity = 'audio_speeches' then 'characters'
            when hourly.activity = 'audio_transcriptions' then 'seconds'
            when hourly.activity = 'vector_stores' then 'bytes'
            when hourly.activity = 'code_interpreter_sessions' then 'sessions'
            when hourly.activity = 'file_search_calls' then 'requests'
        end as other_quantity_unit
    from hourly
    cross join measures
)

select * from final
where tokens != 0 or web_search_request_count != 0 or other_quantity != 0
