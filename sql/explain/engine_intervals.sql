-- Every counter increment booked to a deployment's engines: those of the day, and those of the day before, of which the
-- last may reach into it.
select intervals.*
from int_engine_intervals as intervals
inner join int_engine_deployments_daily as deployments
    on
        intervals.usage_date = deployments.usage_date
        and intervals.host = deployments.host
        and intervals.target = deployments.target
        and intervals.model_name = deployments.model_name
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
