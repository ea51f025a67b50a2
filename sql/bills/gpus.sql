-- How long each GPU of the spool files was seen healthy, and of that held and busy.
select
    'spool' as account,
    host,
    gpu_uuid,
    cast(sum(healthy_milliseconds) as bigint) as healthy_milliseconds,
    cast(sum(held_milliseconds) as bigint) as held_milliseconds,
    cast(sum(busy_milliseconds) as bigint) as busy_milliseconds
from stg_nvml_spool__gpu_hours
group by all
order by all
