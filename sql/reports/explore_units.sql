-- Tokens of the period and what they cost in full, by day, model and what serves it: each lane that `unit_costs` has. A
-- day whose tokens nobody counted has a cost and no tokens: it is counted in `unknown_count` and in no price.
with
stated as (
    select
        usage_date,
        lane,
        model,
        provider,
        deployment_id,
        cost_measure,
        tokens,
        full_cost_rc
    from fct_unit_costs_daily
    where token_class = 'blended'
    union all
    select
        usage_date,
        'per_use' as lane,
        model,
        provider,
        per_use_service as deployment_id,
        cost_measure,
        tokens,
        full_cost_rc
    from fct_per_use_costs_daily
    union all
    select
        usage_date,
        'cloud_model' as lane,
        model,
        provider,
        cast(null as varchar) as deployment_id,
        'billed' as cost_measure,
        tokens,
        billed_cost_rc as full_cost_rc
    from fct_cloud_model_costs_daily
)

select
    usage_date,
    lane,
    model,
    provider,
    deployment_id,
    cost_measure,
    sum(full_cost_rc) filter (where tokens is not null) as cost_rc,
    cast(sum(tokens) filter (where full_cost_rc is not null) as bigint) as tokens,
    count(*) filter (where tokens is null or full_cost_rc is null) as unknown_count
from stated
where usage_date >= $from_date and usage_date < $to_date
group by all
order by all
