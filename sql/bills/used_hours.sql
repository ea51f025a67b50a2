-- What an export without cost says was used of each resource: hours of its GPUs, or of instances.
select
    account,
    resource_id,
    is_gpu_time,
    min(usage_date) as from_date,
    max(usage_date) as last_date,
    cast(sum(used_milliseconds) as decimal(38, 0)) as used_milliseconds
from stg_focus_usage__gpu_hours_daily
group by account, resource_id, is_gpu_time
order by account, resource_id, is_gpu_time
