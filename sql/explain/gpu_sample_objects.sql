-- Which objects showed the chosen hosts on the chosen days: how many samples of which GPU, and for how long.
with
samples as (
    select
        usage_date,
        host,
        gpu_uuid,
        interval_ms,
        object_number,
        object_row
    from traced_nvml_spool__gpu_samples
    union all
    select
        usage_date,
        coalesce(node, hostname, split_part(instance, ':', 1), 'unknown') as host,
        gpu_uuid,
        interval_ms,
        object_number,
        object_row
    from traced_prometheus__gpu_samples
)

select
    samples.usage_date,
    samples.host,
    samples.gpu_uuid,
    samples.object_number,
    count(*) as sample_count,
    min(samples.object_row) as first_object_row,
    max(samples.object_row) as last_object_row,
    sum(least(samples.interval_ms, 900000)) as interval_milliseconds
from samples
inner join (
    select distinct
        usage_date,
        host
    from chosen_gpu_costs
    where host is not null
) as hosts
    on samples.usage_date = hosts.usage_date and samples.host = hosts.host
group by samples.usage_date, samples.host, samples.gpu_uuid, samples.object_number
order by samples.usage_date, samples.host, samples.gpu_uuid, samples.object_number
