-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id, usage_hour_at.
-- What is known of each GPU by hour, from one observer: an agent on its host where one saw it in that hour, else
-- dcgm-exporter as a Prometheus kept it. What the other saw of the same hour is the same time again.
-- partition: month, days apart
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
    select * exclude (account)
    from seen
    qualify account = min(account) over (partition by gpu_uuid, usage_hour_at)
)

select * from final
