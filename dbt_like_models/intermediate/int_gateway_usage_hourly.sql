-- One row per usage_date, usage_hour_at, issuer, account, model, api_key_id, team_id.
-- What gateways passed on to an account's bill, gateways united: when, through which of their keys, for which of their
-- teams. `settings.bills` of each gateway says whose bill it was. Counted by the gateway: a shape, never a total.
-- partition: month
with
logs as (
    select
        usage_date,
        usage_hour_at,
        'litellm_spend_logs' as source,
        account,
        api_key_id,
        team_id,
        provider,
        raw_model,
        prompt_tokens,
        completion_tokens
    from stg_litellm_spend_logs__usage_hourly
    union all
    select
        usage_date,
        usage_hour_at,
        'openrouter_generations' as source,
        account,
        api_key_id,
        cast(null as varchar) as team_id,
        provider,
        raw_model,
        prompt_tokens,
        completion_tokens
    from stg_openrouter_generations__usage_hourly
),

final as (
    select
        logs.usage_date,
        logs.usage_hour_at,
        bills.bill_issuer as issuer,
        bills.bill_account as account,
        names.model,
        logs.api_key_id,
        logs.team_id,
        cast(sum(logs.prompt_tokens) as bigint) as prompt_tokens,
        cast(sum(logs.completion_tokens) as bigint) as completion_tokens
    from logs
    inner join config_estimated_bills as bills
        on
            logs.source = bills.source
            and logs.account = bills.account
            and logs.provider = bills.provider
            and bills.bill_account is not null
    inner join int_api_model_names_daily as names
        on
            logs.usage_date = names.usage_date
            and logs.provider = names.provider
            and logs.raw_model = names.raw_model
    group by
        logs.usage_date, logs.usage_hour_at, bills.bill_issuer, bills.bill_account, names.model, logs.api_key_id,
        logs.team_id
)

select * from final
