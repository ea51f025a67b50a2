-- Prompt tokens and requests that a deployment's engines counted, and how often they were read.
select
    sum(intervals.input_uncached_tokens + coalesce(intervals.input_cache_read_tokens, 0)) as tokens,
    sum(intervals.request_count) as requests,
    cast(median(intervals.interval_milliseconds) as bigint) as interval_milliseconds
from int_engine_intervals as intervals
inner join int_engine_deployments_daily as deployments
    on
        intervals.usage_date = deployments.usage_date
        and intervals.host = deployments.host
        and intervals.target = deployments.target
        and intervals.model_name = deployments.model_name
where deployments.deployment_id = $deployment and intervals.request_count is not null
