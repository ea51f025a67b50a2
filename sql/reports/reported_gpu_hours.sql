-- GPU-hours that issuers say were used, without a cost, by day and resource. Hours of instances may be of machines
-- without a GPU, and are left out.
select
    hours.usage_date,
    sources.issuer,
    hours.resource_id,
    sum(hours.used_hours) as reported_gpu_hours
from stg_focus_usage__gpu_hours_daily as hours
inner join dim_source as sources
    on sources.source = 'focus_usage' and hours.account = sources.account
where
    hours.usage_date >= $from_date
    and hours.usage_date < $to_date
    and hours.is_gpu_time
    and hours.used_hours > 0
    and sources.role is distinct from 'control'
group by hours.usage_date, sources.issuer, hours.resource_id
order by hours.usage_date, sources.issuer, hours.resource_id
