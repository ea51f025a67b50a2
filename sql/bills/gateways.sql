-- What a gateway among the files passed on, by model: its own count of tokens, for the shape of a day alone.
with
logs as (
    select
        account,
        provider,
        raw_model,
        usage_hour_at,
        request_count,
        prompt_tokens,
        completion_tokens
    from stg_litellm_spend_logs__usage_hourly
    union all
    select
        account,
        provider,
        raw_model,
        usage_hour_at,
        request_count,
        prompt_tokens,
        completion_tokens
    from stg_openrouter_generations__usage_hourly
)

select
    account,
    provider,
    raw_model as model,
    cast(sum(prompt_tokens + completion_tokens) as bigint) as tokens,
    cast(sum(request_count) as bigint) as requests_count,
    count(distinct usage_hour_at) as hours_count
from logs
group by all
order by all
