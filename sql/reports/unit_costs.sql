-- What a million tokens really cost: per lane, model and deployment over a period. Ratios of sums over the days whose
-- tokens were counted: a day without a count has a cost but no price, and an unknown cost leaves the price unknown.
with
-- What is billed by use, or by a cloud's meter of tokens, serves whenever it is paid: all of it is active, and one
-- token more costs what they all do.
stated as (
    select
        usage_date,
        lane,
        provider,
        deployment_id,
        model,
        token_class,
        cost_measure,
        tokens,
        full_cost_rc,
        active_cost_rc,
        marginal_rc_per_mtok
    from fct_unit_costs_daily
    union all
    select
        usage_date,
        'per_use' as lane,
        provider,
        per_use_service as deployment_id,
        model,
        'blended' as token_class,
        cost_measure,
        tokens,
        full_cost_rc,
        full_cost_rc as active_cost_rc,
        full_rc_per_mtok as marginal_rc_per_mtok
    from fct_per_use_costs_daily
    union all
    select
        usage_date,
        'cloud_model' as lane,
        provider,
        cast(null as varchar) as deployment_id,
        model,
        'blended' as token_class,
        'billed' as cost_measure,
        tokens,
        billed_cost_rc as full_cost_rc,
        billed_cost_rc as active_cost_rc,
        billed_rc_per_mtok as marginal_rc_per_mtok
    from fct_cloud_model_costs_daily
),

days as (
    select
        *,
        -- A day's marginal price is nothing, the full one, or unknown.
        case
            when tokens = 0 or marginal_rc_per_mtok = 0 then cast(0 as decimal(38, 18))
            when marginal_rc_per_mtok is not null then full_cost_rc
        end as marginal_cost_rc
    from stated
    where usage_date >= $from_date and usage_date < $to_date and token_class = 'blended'
),

summed as (
    select
        lane,
        model,
        coalesce(deployment_id, provider) as served_by,
        string_agg(distinct cost_measure, '+' order by cost_measure) as cost_measures,
        sum(tokens) as tokens,
        case when count(full_cost_rc) = count(*) then sum(full_cost_rc) end as full_cost_rc,
        case when count(active_cost_rc) = count(*) then sum(active_cost_rc) end as active_cost_rc,
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
    from days
    group by lane, model, coalesce(deployment_id, provider)
)

select
    lane,
    model,
    served_by,
    cost_measures,
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
order by lane asc, full_cost_rc desc nulls last, model asc nulls last, served_by asc nulls last
