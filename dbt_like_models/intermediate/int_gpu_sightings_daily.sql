-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id.
-- Which GPU was seen where, from samples and from agents' inventories, and for how long its host was observed at all.
-- partition: month, days apart
with
gpu_hours as (
    select * from int_gpu_hours
),

inventory as (
    select * from stg_nvml_spool__agent_records
    where record_kind = 'gpu' and gpu_uuid is not null
),

sightings as (
    select
        usage_date,
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
        usage_date,
        host,
        gpu_uuid,
        usage_hour_at,
        least(sum(observed_milliseconds), 3600000) as observed_ms
    from gpu_hours
    group by usage_date, host, gpu_uuid, usage_hour_at
),

host_hours as (
    select
        usage_date,
        host,
        usage_hour_at,
        max(observed_ms) as host_observed_ms
    from gpu_hour_totals
    group by usage_date, host, usage_hour_at
),

hosts as (
    select
        usage_date,
        host,
        sum(host_observed_ms) as host_observed_ms
    from host_hours
    group by usage_date, host
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
