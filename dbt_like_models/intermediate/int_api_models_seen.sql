-- One row per provider, model, context_window.
-- What needs a list price: every model met on a bill or a meter, and every API model that a workload would buy or is
-- compared with.
-- partition: none
with
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
        config_workloads.api_model as model,
        '0-200k' as context_window
    from config_workloads
    cross join (select unnest(['anthropic', 'openai']) as provider) as providers
    where config_workloads.api_model is not null
    union
    -- What traffic that no API bills is compared with.
    select
        providers.provider,
        config_workloads.comparator_model as model,
        '0-200k' as context_window
    from config_workloads
    cross join (select unnest(['anthropic', 'openai']) as provider) as providers
    where config_workloads.comparator_model is not null
)

select * from final
