-- One row per usage_date, host, target, model_name.
-- Which workload the tokens of each engine's model belong to, by the declared rules. What no rule claims, and what two
-- workloads claim, is unassigned; claiming_rules names them all.
-- partition: month, days apart
with
engine_deployments as (
    select * from int_engine_deployments_daily
),

deployments as (
    select * from config_deployments
),

rules as (
    select * from config_workload_rules
),

named as (
    select
        engine_deployments.usage_date,
        engine_deployments.host,
        engine_deployments.target,
        engine_deployments.model_name,
        engine_deployments.deployment_id,
        coalesce(max(deployments.model), engine_deployments.model_name) as model
    from engine_deployments
    left join deployments
        on
            engine_deployments.deployment_id = deployments.deployment_id
            and engine_deployments.usage_date >= coalesce(deployments.valid_from_date, engine_deployments.usage_date)
            and engine_deployments.usage_date < coalesce(deployments.valid_to_date, engine_deployments.usage_date + 1)
    group by
        engine_deployments.usage_date, engine_deployments.host, engine_deployments.target,
        engine_deployments.model_name, engine_deployments.deployment_id
),

-- A rule that names anything only an API has does not speak of served tokens.
claims as (
    select
        named.usage_date,
        named.host,
        named.target,
        named.model_name,
        count(distinct rules.workload) as workload_count,
        min(rules.workload) as first_workload,
        string_agg(distinct rules.rule_id, ', ' order by rules.rule_id) as claiming_rules
    from named
    inner join rules
        on
            rules.provider is null
            and rules.account is null
            and rules.sub_account is null
            and rules.api_key is null
            and rules.gateway_key is null
            and rules.gateway_team is null
            and (rules.model is null or named.model = rules.model)
            and (rules.served_name is null or named.model_name = rules.served_name)
            and (rules.deployment_id is null or named.deployment_id = rules.deployment_id)
            and named.usage_date >= coalesce(rules.valid_from_date, named.usage_date)
            and named.usage_date < coalesce(rules.valid_to_date, named.usage_date + 1)
    group by named.usage_date, named.host, named.target, named.model_name
),

final as (
    select
        named.usage_date,
        named.host,
        named.target,
        named.model_name,
        named.deployment_id,
        named.model,
        case when claims.workload_count = 1 then claims.first_workload else 'unassigned' end as workload,
        coalesce(claims.workload_count, 0) as claiming_workload_count,
        claims.claiming_rules
    from named
    left join claims
        on
            named.usage_date = claims.usage_date
            and named.host = claims.host
            and named.target = claims.target
            and named.model_name = claims.model_name
)

select * from final
