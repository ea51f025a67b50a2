-- One row per usage_date, provider, raw_model.
-- Which model a name in an export means on that day: a declared alias, else the name less its snapshot date, as its
-- provider writes dates. Two aliases that disagree on a day leave the name as it is, so no join can multiply rows.
-- partition: month
with
seen as (
    select
        usage_date,
        'anthropic' as provider,
        raw_model
    from stg_anthropic_cost_api__costs_daily
    union
    select
        usage_date,
        'anthropic' as provider,
        raw_model
    from stg_anthropic_console_csv__costs_daily
    union
    select
        usage_date,
        'anthropic' as provider,
        raw_model
    from stg_anthropic_usage_api__usage_hourly
    union
    select
        usage_date,
        'openai' as provider,
        raw_model
    from stg_openai_costs_api__costs_daily
    union
    select
        usage_date,
        'openai' as provider,
        raw_model
    from stg_openai_dashboard_csv__costs_daily
    union
    select
        usage_date,
        'openai' as provider,
        raw_model
    from stg_openai__usage_hourly
    union
    select
        usage_date,
        provider,
        raw_model
    from stg_litellm_focus__estimates_daily
    where provider is not null
    union
    select
        usage_date,
        provider,
        raw_model
    from stg_litellm_spend_logs__usage_hourly
    where provider is not null
    union
    select
        usage_date,
        provider,
        raw_model
    from stg_openrouter_generations__usage_hourly
    union
    select
        usage_date,
        provider,
        raw_model
    from stg_api_bills__charges_daily
    union
    select
        usage_date,
        provider,
        raw_model
    from stg_api_bills__usage_daily
    union
    select
        usage_date,
        'fireworks' as provider,
        raw_model
    from stg_fireworks_costs__usage_hourly
    where charge_kind = 'tokens'
),

names as (
    select
        *,
        regexp_extract(raw_model, '-(20[0-9]{2}-[0-9]{2}-[0-9]{2})$', 1) as date_text
    from seen
    where raw_model is not null
),

aliases as (
    select
        names.usage_date,
        names.provider,
        names.raw_model,
        min(model_aliases.model) as alias_model,
        count(distinct model_aliases.model) as alias_count
    from names
    inner join model_aliases
        on
            names.provider = model_aliases.provider
            and names.raw_model = model_aliases.raw_name
            and (model_aliases.valid_from_date is null or names.usage_date >= model_aliases.valid_from_date)
            and (model_aliases.valid_to_date is null or names.usage_date < model_aliases.valid_to_date)
    group by all
),

final as (
    select
        names.usage_date,
        names.provider,
        names.raw_model,
        case
            when aliases.alias_count = 1 then aliases.alias_model
            when aliases.alias_count > 1 then names.raw_model
            when names.provider = 'openai' and try_cast(names.date_text as date) is not null
                then left(names.raw_model, length(names.raw_model) - length(names.date_text) - 1)
            when names.provider = 'openai' then names.raw_model
            else regexp_replace(names.raw_model, '-20[0-9]{6}$', '')
        end as model
    from names
    left join aliases
        on
            names.usage_date = aliases.usage_date
            and names.provider = aliases.provider
            and names.raw_model = aliases.raw_model
)

select * from final
