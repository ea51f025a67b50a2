-- Every counter increment booked to a deployment's engines: those of the day, and those of the day before, of which the
-- last may reach into it. Whether the day's part counts for the deployment: of engines of which one computes prompts
-- and another generates, the one's prompts and the other's answers do.
select
    intervals.*,
    coalesce(roles.counts_prompts, true) as counts_prompts,
    coalesce(roles.counts_outputs, true) as counts_outputs
from int_engine_intervals as intervals
inner join int_engine_deployments_daily as deployments
    on
        intervals.usage_date = deployments.usage_date
        and intervals.host = deployments.host
        and intervals.target = deployments.target
        and intervals.model_name = deployments.model_name
left join int_engine_roles_daily as roles
    on
        roles.usage_date = cast($usage_date as date)
        and intervals.host = roles.host
        and intervals.target = roles.target
        and intervals.model_name = roles.model_name
where
    deployments.deployment_id = $deployment
    and intervals.usage_date >= cast($usage_date as date) - 1
    and intervals.usage_date <= cast($usage_date as date)
order by
    intervals.host,
    intervals.target,
    intervals.replica_id,
    intervals.model_name,
    intervals.engine_rank,
    intervals.process_started_at,
    intervals.scraped_at
