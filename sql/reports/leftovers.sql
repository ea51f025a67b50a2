-- What joins to nothing: GPU-hours billed and never seen, GPU-hours seen and never billed.
select
    kind,
    issuer,
    resource_id,
    host,
    count(distinct gpu_uuid) as gpu_count,
    count(distinct usage_date) as days_count,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours
from fct_gpu_leftovers_daily
where usage_date >= $from_date and usage_date < $to_date
group by kind, issuer, resource_id, host
order by kind, issuer nulls last, resource_id nulls last, host nulls last
