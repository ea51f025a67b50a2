-- One row per provider, model, context_window.
-- What needs a list price: every model met on a bill or a meter, and every API model that a workload would buy or is
-- compared with, under each name that it has.
-- partition: none
with
declared as (
    select api_model as name
    from config_workloads
    where api_model is not null
    union
    -- What traffic that no API bills is compared with.
    select comparator_model as name
    from config_workloads
    where comparator_model is not null
),

providers as (
    select unnest(['anthropic', 'cerebras', 'fireworks', 'groq', 'openai', 'together']) as provider
),

names as (
    -- A workload names no provider: whose model it is, the price book knows.
    select
        providers.provider,
        declared.name as model
    from declared
    cross join providers
    union
    -- Or it does: `groq/llama-3.3-70b-versatile`.
    select
        providers.provider,
        substr(declared.name, length(providers.provider) + 2) as model
    from declared
    inner join providers
        on starts_with(declared.name, providers.provider || '/')
),

final as (
    select
        provider,
        model,
        context_window
    from int_api_charges_daily
    where charge_kind = 'tokens' and model is not null
    union
    select
        provider,
        model,
        context_window
    from int_api_usage_daily
    where charge_kind = 'tokens' and model is not null
    union
    select
        provider,
        model,
        '0-200k' as context_window
    from names
    union
    -- A dated snapshot, and the latest of them, as what a bill would call it.
    select
        provider,
        regexp_replace(model, '-(20[0-9]{6}|20[0-9]{2}-[0-9]{2}-[0-9]{2}|latest)$', '') as model,
        '0-200k' as context_window
    from names
    union
    -- A display name, a moving alias.
    select
        model_aliases.provider,
        model_aliases.model,
        '0-200k' as context_window
    from names
    inner join model_aliases
        on names.provider = model_aliases.provider and names.model = model_aliases.raw_name
)

select * from final
