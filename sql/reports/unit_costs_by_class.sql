-- What a million tokens cost, by class and blended, one line a measure: costs of two measures are never one figure.
-- Ratios of sums over the days whose tokens were counted; a day without a count has a cost but no price.
with
-- What is billed by use, or by a cloud's meter of tokens, serves whenever it is paid: all of it is active, and one
-- token more costs what they all do.
days as (
    select
        usage_date,
        lane,
        provider,
        deployment_id,
        model,
        token_class,
        cost_measure,
        class_weight_method,
        tokens,
        full_cost_rc,
        active_cost_rc,
        marginal_rc_per_mtok
    from fct_unit_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
    union all
    select
        usage_date,
        'per_use' as lane,
        provider,
        per_use_service as deployment_id,
        model,
        'blended' as token_class,
        cost_measure,
        'billed_by_use' as class_weight_method,
        tokens,
        full_cost_rc,
        full_cost_rc as active_cost_rc,
        full_rc_per_mtok as marginal_rc_per_mtok
    from fct_per_use_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
    union all
    select
        usage_date,
        'cloud_model' as lane,
        provider,
        cast(null as varchar) as deployment_id,
        model,
        'blended' as token_class,
        'billed' as cost_measure,
        'billed_by_class' as class_weight_method,
        tokens,
        billed_cost_rc as full_cost_rc,
        billed_cost_rc as active_cost_rc,
        billed_rc_per_mtok as marginal_rc_per_mtok
    from fct_cloud_model_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
    union all
    select
        usage_date,
        'cloud_model' as lane,
        provider,
        cast(null as varchar) as deployment_id,
        model,
        token_class,
        'billed' as cost_measure,
        'billed_by_class' as class_weight_method,
        tokens,
        billed_cost_rc as full_cost_rc,
        billed_cost_rc as active_cost_rc,
        billed_rc_per_mtok as marginal_rc_per_mtok
    from fct_cloud_model_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and token_class is not null
),

costed as (
    select
        lane,
        model,
        deployment_id,
        provider,
        cost_measure,
        token_class,
        class_weight_method,
        tokens,
        full_cost_rc,
        active_cost_rc,
        -- A day's marginal price is nothing, the full one, or unknown.
        case
            when tokens = 0 or marginal_rc_per_mtok = 0 then cast(0 as decimal(38, 18))
            when marginal_rc_per_mtok is not null then full_cost_rc
        end as marginal_cost_rc
    from days
),

summed as (
    select
        lane,
        model,
        deployment_id,
        provider,
        cost_measure,
        token_class,
        string_agg(distinct class_weight_method, '+' order by class_weight_method) as class_weight_methods,
        count(*) filter (where tokens is null) as uncounted_days_count,
        sum(tokens) as tokens,
        case
            when count(full_cost_rc) = count(*) then sum(full_cost_rc)
        end as full_cost_rc,
        case
            when count(active_cost_rc) = count(*) then sum(active_cost_rc)
        end as active_cost_rc,
        case
            when count(full_cost_rc) filter (where tokens is not null) = count(tokens)
                then sum(full_cost_rc) filter (where tokens is not null)
        end as counted_full_cost_rc,
        case
            when count(active_cost_rc) filter (where tokens is not null) = count(tokens)
                then sum(active_cost_rc) filter (where tokens is not null)
        end as counted_active_cost_rc,
        case
            when count(marginal_cost_rc) filter (where tokens is not null) = count(tokens)
                then sum(marginal_cost_rc) filter (where tokens is not null)
        end as counted_marginal_cost_rc
    from costed
    group by lane, model, deployment_id, provider, cost_measure, token_class
)

select
    lane,
    model,
    deployment_id,
    provider,
    cost_measure,
    token_class,
    class_weight_methods,
    uncounted_days_count,
    tokens,
    full_cost_rc,
    active_cost_rc,
    case when tokens > 0 then cast(counted_full_cost_rc as double) * 1e6 / cast(tokens as double) end
        as full_rc_per_mtok,
    case when tokens > 0 then cast(counted_active_cost_rc as double) * 1e6 / cast(tokens as double) end
        as active_rc_per_mtok,
    case when tokens > 0 then cast(counted_marginal_cost_rc as double) * 1e6 / cast(tokens as double) end
        as marginal_rc_per_mtok
from summed
order by
    lane,
    model nulls last,
    deployment_id nulls last,
    provider nulls last,
    cost_measure nulls last,
    token_class != 'blended',
    token_class
