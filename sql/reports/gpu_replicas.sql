-- Which replica ran on which GPU, with what part of it, and for how long in each state.
select
    coalesce(deployment_id, '(no deployment)') as deployment_id,
    replica_id,
    host,
    gpu_uuid,
    gpu_method,
    share_method,
    min(from_at) as from_at,
    max(to_at) as to_at,
    coalesce(sum(gpu_milliseconds) filter (where state = 'serving'), 0) / 3600000 as serving_gpu_hours,
    coalesce(sum(gpu_milliseconds) filter (where state = 'loaded_idle'), 0) / 3600000 as loaded_idle_gpu_hours,
    coalesce(sum(gpu_milliseconds) filter (where state = 'starting'), 0) / 3600000 as starting_gpu_hours
from fct_gpu_shares_interval
where usage_date >= $from_date and usage_date < $to_date
group by deployment_id, replica_id, host, gpu_uuid, gpu_method, share_method
order by deployment_id, replica_id, host, gpu_uuid, gpu_method, share_method
