-- A deployment's engines, of the 28 days that end with its newest.
select distinct
    host,
    target,
    model_name
from int_engine_deployments_daily
where
    deployment_id = $deployment
    and usage_date > (
        select max(newest.usage_date) - 28
        from int_engine_deployments_daily as newest
        where newest.deployment_id = $deployment
    )
order by host, target, model_name
