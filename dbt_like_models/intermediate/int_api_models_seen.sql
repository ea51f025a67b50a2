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
    -- A workload names no provider: whose model it is, the price book knows.
    select
        providers.provider,
        declared.name as model,
        '0-200k' as context_window
    from declared
    cross join providers
    union
    -- Or it does: `groq/llama-3.3-70b-versatile`.
    select
        providers.provider,
        substr(declared.name, length(providers.provider) + 2) as model,
        '0-200k' as context_window
    from declared
    inner join providers
        on starts_with(declared.name, providers.provider || '/')
    union
    -- A display name, a moving alias, a dated snapshot.
    select
        model_aliases.provider,
        model_aliases.model,
        '0-200k' as context_window
    from declared
    inner join model_aliases
        on declared.name = model_aliases.raw_name
)

select * from final
