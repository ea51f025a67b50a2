-- What a gateway among the files passed on, by model: its own count of tokens, for the shape of a day alone.
select
    account,
    provider,
    raw_model as model,
    cast(sum(prompt_tokens + completion_tokens) as bigint) as tokens,
    cast(sum(request_count) as bigint) as requests_count,
    count(distinct usage_hour_at) as hours_count
from stg_litellm_spend_logs__usage_hourly
group by all
order by all
