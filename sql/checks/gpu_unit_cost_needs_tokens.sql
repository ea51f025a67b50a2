-- law: unit_cost_needs_tokens
-- scope: deployment
-- partition: month
-- Without tokens there is no price for a token; and the classes of a deployment cost what the deployment costs.
with
parts as (
    select
        usage_date,
        deployment_id,
        sum(full_cost_rc) as full_cost_rc,
        sum(active_cost_rc) as active_cost_rc
    from fct_unit_costs_daily
    where lane = 'self_host' and token_class != 'blended'
    group by usage_date, deployment_id
),

wholes as (
    select
        usage_date,
        deployment_id,
        full_cost_rc,
        active_cost_rc
    from fct_unit_costs_daily
    where lane = 'self_host' and token_class = 'blended'
)

select
    usage_date,
    'unit_cost_needs_tokens' as law,
    coalesce('deployment:' || deployment_id, 'model:' || model, 'all') as scope,
    concat(usage_date, ' ', token_class, ': a price per token, without tokens.') as detail
from fct_unit_costs_daily
where
    (tokens is null or tokens = 0)
    and (full_rc_per_mtok is not null or active_rc_per_mtok is not null or marginal_rc_per_mtok is not null)
union all
select
    parts.usage_date,
    'unit_cost_needs_tokens' as law,
    'deployment:' || parts.deployment_id as scope,
    concat(
        parts.usage_date, ': classes cost ', coalesce(cast(parts.full_cost_rc as varchar), 'unknown'), ', the whole ',
        coalesce(cast(wholes.full_cost_rc as varchar), 'unknown'), '.'
    ) as detail
from parts
inner join wholes
    on parts.usage_date = wholes.usage_date and parts.deployment_id = wholes.deployment_id
where
    parts.full_cost_rc is distinct from wholes.full_cost_rc
    or parts.active_cost_rc is distinct from wholes.active_cost_rc
