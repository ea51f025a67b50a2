-- Feeds about one GPU that cannot both be right, the longest first.
select
    host,
    gpu_uuid,
    conflict,
    min(feeds) as feeds,
    count(distinct usage_date) as days_count,
    cast(sum(hour_count) as bigint) as hour_count,
    sum(gpu_milliseconds) / 3600000 as gpu_hours
from fct_telemetry_conflicts_daily
where usage_date >= $from_date and usage_date < $to_date
group by host, gpu_uuid, conflict
order by gpu_hours desc, host asc, gpu_uuid asc, conflict asc
