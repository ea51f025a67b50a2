-- One row per usage_date, host, target, model_name.
-- Which deployment each engine belongs to: the one that declares its served name, on its host before any other; else
-- the one that declares the host. Where two could be meant there is none, and a check says so.
-- partition: month, days apart
with
engine_targets as (
    select * from int_engine_targets_daily
),

served_names as (
    select * from config_deployment_served_names
),

deployment_hosts as (
    select * from config_deployment_hosts
),

host_matches as (
    select
        engine_targets.usage_date,
        engine_targets.host,
        engine_targets.target,
        engine_targets.model_name,
        deployment_hosts.deployment_id
    from engine_targets
    inner join deployment_hosts
        on
            engine_targets.host = deployment_hosts.host
            and engine_targets.usage_date >= coalesce(deployment_hosts.valid_from_date, engine_targets.usage_date)
            and engine_targets.usage_date < coalesce(deployment_hosts.valid_to_date, engine_targets.usage_date + 1)
),

name_matches as (
    select
        engine_targets.usage_date,
        engine_targets.host,
        engine_targets.target,
        engine_targets.model_name,
        served_names.deployment_id
    from engine_targets
    inner join served_names
        on
            engine_targets.model_name = served_names.served_name
            and engine_targets.usage_date >= coalesce(served_names.valid_from_date, engine_targets.usage_date)
            and engine_targets.usage_date < coalesce(served_names.valid_to_date, engine_targets.usage_date + 1)
),

candidates as (
    select
        name_matches.*,
        case when host_matches.deployment_id is not null then 'served_name_and_host' else 'served_name' end as method,
        case when host_matches.deployment_id is not null then 1 else 2 end as method_rank
    from name_matches
    left join host_matches
        on
            name_matches.usage_date = host_matches.usage_date
            and name_matches.host = host_matches.host
            and name_matches.target = host_matches.target
            and name_matches.model_name = host_matches.model_name
            and name_matches.deployment_id = host_matches.deployment_id
    union
    select
        host_matches.*,
        'host' as method,
        3 as method_rank
    from host_matches
),

best_candidates as (
    select *
    from candidates
    qualify
        method_rank = min(method_rank) over (partition by usage_date, host, target, model_name)
),

resolved as (
    select
        usage_date,
        host,
        target,
        model_name,
        case when count(distinct deployment_id) = 1 then min(deployment_id) end as deployment_id,
        case when count(distinct deployment_id) = 1 then min(method) else 'ambiguous' end as method,
        string_agg(distinct deployment_id, ', ' order by deployment_id) as candidate_deployments
    from best_candidates
    group by usage_date, host, target, model_name
),

final as (
    select
        engine_targets.usage_date,
        engine_targets.host,
        engine_targets.target,
        engine_targets.model_name,
        resolved.deployment_id,
        coalesce(resolved.method, 'none') as method,
        resolved.candidate_deployments
    from engine_targets
    left join resolved
        on
            engine_targets.usage_date = resolved.usage_date
            and engine_targets.host = resolved.host
            and engine_targets.target = resolved.target
            and engine_targets.model_name = resolved.model_name
)

select * from final
