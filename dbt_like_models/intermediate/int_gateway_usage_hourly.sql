-- One row per usage_date, usage_hour_at, issuer, account, model, api_key_id, team_id.
-- What gateways passed on to an account's bill, gateways united: when, through which of their keys, for which of their
-- teams. `settings.bills` of each gateway says whose bill it was. Counted by the gateway: a shape, never a total.
-- A key or a team that a rule of that day names is what a day may be split by; the others are one rest.
-- partition: month
-- rows of: stg_litellm_spend_logs__usage_hourly, stg_openrouter_generations__usage_hourly
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

passed_on as (
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
),

named_keys as (
    select distinct
        days.usage_date,
        rules.gateway_key
    from (select distinct usage_date from passed_on) as days
    inner join config_workload_rules as rules
        on
            rules.gateway_key is not null
            and (rules.valid_from_date is null or days.usage_date >= rules.valid_from_date)
            and (rules.valid_to_date is null or days.usage_date < rules.valid_to_date)
),

named_teams as (
    select distinct
        days.usage_date,
        rules.gateway_team
    from (select distinct usage_date from passed_on) as days
    inner join config_workload_rules as rules
        on
            rules.gateway_team is not null
            and (rules.valid_from_date is null or days.usage_date >= rules.valid_from_date)
            and (rules.valid_to_date is null or days.usage_date < rules.valid_to_date)
),

final as (
    select
        passed_on.usage_date,
        passed_on.usage_hour_at,
        passed_on.issuer,
        passed_on.account,
        passed_on.model,
        passed_on.api_key_id,
        passed_on.team_id,
        named_keys.gateway_key as gateway_key_id,
        named_teams.gateway_team as gateway_team_id,
        passed_on.prompt_tokens,
        passed_on.completion_tokens
    from passed_on
    left join named_keys
        on passed_on.usage_date = named_keys.usage_date and passed_on.api_key_id = named_keys.gateway_key
    left join named_teams
        on passed_on.usage_date = named_teams.usage_date and passed_on.team_id = named_teams.gateway_team
)

select * from final
