-- One row per usage_date, usage_hour_at, account, api_key_id, provider, raw_model.
-- What OpenRouter passed on with a key of one's own, by the hour in which a request came: when, not how much it cost. A
-- generation counts once, in whatever file it came again; where two files tell it differently, as the one that tells
-- more tokens. What was paid in credits is on no provider's bill to us.
-- An Anthropic model is called as Anthropic calls it: OpenRouter writes claude-4.5-haiku, claude-opus-4.5 and the like.
-- partition: day
with
generations as (
    select * from landed_openrouter_generations__generations
),

counted as (
    select *
    from generations
    qualify
        row_number() over (
            partition by account, request_hash
            order by
                tokens_prompt + tokens_completion desc, tokens_prompt desc, started_at asc, model_permaslug asc,
                provider_name asc, api_key_name asc nulls last, is_own_key desc
        ) = 1
),

named as (
    select
        *,
        regexp_replace(model_permaslug, '^[^/]*/', '') as slug
    from counted
    where is_own_key
),

final as (
    select
        usage_date,
        date_trunc('hour', started_at) as usage_hour_at,
        account,
        api_key_name as api_key_id,
        lower(provider_name) as provider,
        case
            when lower(provider_name) != 'anthropic' then slug
            else
                replace(
                    regexp_replace(slug, '^claude-([4-9](?:[.-][0-9]{1,2})?)-([a-z]+)(-20[0-9]{6})?$', 'claude-\2-\1'),
                    '.',
                    '-'
                )
        end as raw_model,
        count(*) as request_count,
        cast(sum(tokens_prompt) as bigint) as prompt_tokens,
        cast(sum(tokens_completion) as bigint) as completion_tokens
    from named
    group by all
)

select * from final
