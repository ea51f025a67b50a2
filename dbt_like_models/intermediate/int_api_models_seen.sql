-- One row per provider, model, context_window.
-- What needs a list price: every model met on a bill or a meter, and every API model that a workload would buy.
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
    select
        'anthropic' as provider,
        api_model as model,
        '0-200k' as context_window
    from config_workloads
    where api_model is not null
)

select * from final
