-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id.
-- Which GPU was seen where, from samples and from agents' inventories, and for how long its host was observed at all.
-- partition: month, days apart
-- lookback: int_gpu_hours 1 days
with
gpu_hours as (
    select int_gpu_hours.*
    from int_gpu_hours
    inner join calendar as days
        on
            int_gpu_hours.usage_hour_at >= days.day_start_at
            and int_gpu_hours.usage_hour_at < days.day_end_at
),

inventory as (
    select stg_nvml_spool__agent_records.*
    from stg_nvml_spool__agent_records
    cross join this_partition
    where
        stg_nvml_spool__agent_records.record_kind = 'gpu'
        and stg_nvml_spool__agent_records.gpu_uuid is not null
        and stg_nvml_spool__agent_records.usage_date >= this_partition.from_date
),

sightings as (
    select
        cast(usage_hour_at as date) as usage_date,
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        first_observed_at as seen_from_at,
        last_observed_at as seen_to_at,
        observed_milliseconds
    from gpu_hours
    union all
    select
        usage_date,
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        recorded_at as seen_from_at,
        recorded_at as seen_to_at,
        0 as observed_milliseconds
    from inventory
),

gpu_hour_totals as (
    select
        host,
        gpu_uuid,
        usage_hour_at,
        least(sum(observed_milliseconds), 3600000) as observed_ms
    from gpu_hours
    group by host, gpu_uuid, usage_hour_at
),

host_hours as (
    select
        host,
        usage_hour_at,
        max(observed_ms) as host_observed_ms
    from gpu_hour_totals
    group by host, usage_hour_at
),

hosts as (
    select
        cast(usage_hour_at as date) as usage_date,
        host,
        sum(host_observed_ms) as host_observed_ms
    from host_hours
    group by cast(usage_hour_at as date), host
),

final as (
    select
        sightings.usage_date,
        sightings.host,
        sightings.gpu_uuid,
        sightings.boot_id,
        sightings.provider_resource_id,
        min(sightings.seen_from_at) as first_seen_at,
        max(sightings.seen_to_at) as last_seen_at,
        cast(sum(sightings.observed_milliseconds) as bigint) as observed_milliseconds,
        cast(max(hosts.host_observed_ms) as bigint) as host_observed_milliseconds
    from sightings
    left join hosts
        on sightings.usage_date = hosts.usage_date and sightings.host = hosts.host
    group by
        sightings.usage_date, sightings.host, sightings.gpu_uuid, sightings.boot_id,
        sightings.provider_resource_id
)

select * from final
