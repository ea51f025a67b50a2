-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id, usage_hour_at, sampled_date.
-- What is known of each GPU by hour, from one observer: an agent on its host where one saw it in that hour, else
-- dcgm-exporter as a Prometheus kept it. What the other saw of the same hour is the same time again. Of a day's first
-- hour the day before may tell too, whose last samples reach into it.
-- partition: month, days apart
-- lookback: stg_nvml_spool__gpu_hours 1 days
-- lookback: stg_prometheus__gpu_hours 1 days
with
controls as (
    select distinct account
    from config_sources
    where source = 'prometheus' and role = 'control'
),

seen as (
    select
        *,
        '' as account
    from stg_nvml_spool__gpu_hours
    union all by name
    select * from stg_prometheus__gpu_hours
    where account not in (select controls.account from controls)
),

-- The agent has no account here, which sorts before every name.
final as (
    select
        seen.* exclude (account) replace (days.usage_date as usage_date),
        seen.usage_date as sampled_date
    from seen
    inner join calendar as days
        on seen.usage_hour_at >= days.day_start_at and seen.usage_hour_at < days.day_end_at
    qualify
        seen.account = min(seen.account) over (partition by days.usage_date, seen.gpu_uuid, seen.usage_hour_at)
)

select * from final
