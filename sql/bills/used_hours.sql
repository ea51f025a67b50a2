-- What an export without cost says was used of each resource: hours of its GPUs, or of instances. Unknown where those
-- of a day are.
select
    account,
    resource_id,
    is_gpu_time,
    min(usage_date) as from_date,
    max(usage_date) as last_date,
    cast(
        case when count(used_milliseconds) = count(*) then sum(used_milliseconds) end as decimal(38, 0)
    ) as used_milliseconds
from stg_focus_usage__gpu_hours_daily
group by account, resource_id, is_gpu_time
order by account, resource_id, is_gpu_time
