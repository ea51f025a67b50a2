-- One row per usage_date, usage_hour_at, account, api_key_id, team_id, provider, raw_model.
-- What a gateway passed on to providers, by the hour in which a request came: when, not how much it cost. A request
-- counts once, in whatever file it came again; where two files tell it differently, as the one that tells more tokens.
-- What the gateway answered from its own cache reached nobody.
-- partition: day
with
requests as (
    select * from landed_litellm_spend_logs__requests
),

counted as (
    select *
    from requests
    qualify
        row_number() over (
            partition by account, request_hash
            order by
                prompt_tokens + completion_tokens desc, prompt_tokens desc, started_at asc, model asc nulls last,
                custom_llm_provider asc nulls last, api_key_hash asc nulls last, team_id asc nulls last,
                is_cache_hit asc
        ) = 1
),

final as (
    select
        usage_date,
        date_trunc('hour', started_at) as usage_hour_at,
        account,
        api_key_hash as api_key_id,
        team_id,
        custom_llm_provider as provider,
        case
            when starts_with(model, custom_llm_provider || '/') then substr(model, length(custom_llm_provider) + 2)
            else model
        end as raw_model,
        count(*) as request_count,
        cast(sum(prompt_tokens) as bigint) as prompt_tokens,
        cast(sum(completion_tokens) as bigint) as completion_tokens
    from counted
    where not is_cache_hit
    group by all
)

select * from final
