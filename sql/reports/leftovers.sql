-- What joins to nothing: GPU-hours billed and never seen, GPU-hours seen and never billed, resources that are declared
-- and no longer on the bill, each with the day since which that is so without a gap.
with
numbered as (
    select
        *,
        usage_date - cast(
            dense_rank() over (partition by kind, issuer, resource_id, host order by usage_date) as integer
        ) as run_start_date
    from fct_gpu_leftovers_daily
),

dated as (
    select
        *,
        min(usage_date) over (partition by kind, issuer, resource_id, host, run_start_date) as since_date
    from numbered
)

select
    kind,
    issuer,
    resource_id,
    host,
    max(since_date) as since_date,
    count(distinct gpu_uuid) as gpu_count,
    count(distinct usage_date) as days_count,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours
from dated
where usage_date >= $from_date and usage_date < $to_date
group by kind, issuer, resource_id, host
order by kind, issuer nulls last, resource_id nulls last, host nulls last
