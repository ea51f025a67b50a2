-- One row per usage_date, usage_hour_at, account, usage_type, accelerator_type, raw_model, charge_kind, token_class.
-- What Fireworks metered, by the hour in which events began. Tokens of text inference that no GPU was paid for by the
-- second are tokens of the API, in disjoint classes: a prompt whose cached and uncached parts are not stated, or do not
-- come to it, stays whole. Of everything else the GPU seconds and tokens are told beside its type, as `other`.
-- partition: month
with
events as (
    select
        *,
        usage_type = 'TEXT_COMPLETION_INFERENCE_USAGE'
        and (accelerator_seconds is null or cast(accelerator_seconds as decimal(38, 18)) = 0) as is_of_the_api,
        cached_prompt_tokens + uncached_prompt_tokens = prompt_tokens as is_parted
    from landed_fireworks_costs__usage
),

measures (charge_kind, token_class) as (
    values
    ('tokens', 'input'),
    ('tokens', 'input_uncached'),
    ('tokens', 'input_cache_read'),
    ('tokens', 'output'),
    ('other', null)
),

measured as (
    select
        events.usage_date,
        events.usage_hour_at,
        events.account,
        events.usage_type,
        events.accelerator_type,
        events.base_model_name as raw_model,
        measures.charge_kind,
        cast(measures.token_class as varchar) as token_class,
        case
            when measures.token_class = 'input' and not coalesce(events.is_parted, false) then events.prompt_tokens
            when measures.token_class = 'input_uncached' and events.is_parted then events.uncached_prompt_tokens
            when measures.token_class = 'input_cache_read' and events.is_parted then events.cached_prompt_tokens
            when measures.token_class = 'output' then events.completion_tokens
        end as tokens,
        case when measures.charge_kind = 'other' then events.prompt_tokens end as other_input_tokens,
        case when measures.charge_kind = 'other' then events.completion_tokens end as other_output_tokens,
        cast(
            case when measures.charge_kind = 'other' then events.accelerator_seconds end as decimal(38, 18)
        ) as accelerator_seconds,
        events.event_count
    from events
    inner join measures
        on coalesce(events.is_of_the_api, false) = (measures.charge_kind = 'tokens')
),

final as (
    select
        usage_date,
        usage_hour_at,
        account,
        usage_type,
        accelerator_type,
        raw_model,
        charge_kind,
        token_class,
        cast(sum(tokens) as bigint) as tokens,
        cast(sum(other_input_tokens) as bigint) as other_input_tokens,
        cast(sum(other_output_tokens) as bigint) as other_output_tokens,
        cast(sum(accelerator_seconds) as decimal(38, 18)) as accelerator_seconds,
        cast(sum(event_count) as bigint) as event_count
    from measured
    where charge_kind = 'other' or tokens > 0
    group by all
)

select * from final
