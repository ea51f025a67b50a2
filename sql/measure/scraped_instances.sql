-- The addresses under which a Prometheus has scraped a deployment's engines, newest first, with the names they serve.
select
    intervals.agent_start_id,
    intervals.model_name,
    max(intervals.scraped_at) as newest_at
from int_engine_intervals as intervals
inner join int_engine_deployments_daily as deployments
    on
        intervals.usage_date = deployments.usage_date
        and intervals.host = deployments.host
        and intervals.target = deployments.target
        and intervals.model_name = deployments.model_name
where deployments.deployment_id = $deployment and intervals.agent_start_id like '{%'
group by intervals.agent_start_id, intervals.model_name
order by newest_at desc, intervals.agent_start_id asc, intervals.model_name asc
limit 50
