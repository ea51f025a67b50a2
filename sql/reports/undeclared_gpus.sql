-- GPU instances on cloud bills, by resource, that gpu_resources does not declare, or declares with another number of
-- GPUs than their type has: how long they were billed, the longest first.
select
    issuer,
    resource_id,
    is_declared,
    max(instance_type) as instance_type,
    max(type_gpu_count) as type_gpu_count,
    case when is_declared then max(gpu_count) end as declared_gpu_count,
    min(usage_date) as first_date,
    cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds
from int_cloud_gpu_charges_daily
where
    usage_date >= $from_date
    and usage_date < $to_date
    and gpu_milliseconds > 0
    and (not is_declared or (type_gpu_count is not null and type_gpu_count != gpu_count))
group by issuer, resource_id, is_declared
order by gpu_milliseconds desc, issuer asc, resource_id asc
