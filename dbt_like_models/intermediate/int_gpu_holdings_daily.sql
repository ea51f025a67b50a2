-- One row per usage_date, host, gpu_uuid, provider_resource_id.
-- To which billed or agreed resource each GPU seen that day belongs, and by which evidence; NULL where by none.
-- partition: month, days apart
with
sightings as (
    select * from int_gpu_sightings_daily
),

resource_costs as (
    select * from int_gpu_resource_costs_daily
),

gpu_resources as (
    select * from config_gpu_resources
),

seen as (
    select
        usage_date,
        host,
        gpu_uuid,
        provider_resource_id,
        max(boot_id) as boot_id,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at,
        sum(observed_milliseconds) as observed_ms,
        max(host_observed_milliseconds) as host_observed_ms
    from sightings
    group by usage_date, host, gpu_uuid, provider_resource_id
),

-- Known on a day: what costs something that day, and what is agreed for it.
resources as (
    select distinct
        usage_date,
        issuer,
        resource_id,
        declared_host
    from resource_costs
    union
    select
        seen_days.usage_date,
        gpu_resources.issuer,
        gpu_resources.resource_id,
        gpu_resources.host as declared_host
    from gpu_resources
    inner join (select distinct usage_date from seen) as seen_days
        on
            seen_days.usage_date >= coalesce(gpu_resources.valid_from_date, seen_days.usage_date)
            and seen_days.usage_date < coalesce(gpu_resources.valid_to_date, seen_days.usage_date + 1)
),

candidates as (
    select
        seen.usage_date,
        seen.host,
        seen.gpu_uuid,
        seen.provider_resource_id,
        resources.issuer,
        resources.resource_id,
        'provider_resource_id' as holding_method,
        1 as method_rank
    from seen
    inner join resources
        on seen.usage_date = resources.usage_date and seen.provider_resource_id = resources.resource_id
    union
    select
        seen.usage_date,
        seen.host,
        seen.gpu_uuid,
        seen.provider_resource_id,
        resources.issuer,
        resources.resource_id,
        'declared_host' as holding_method,
        2 as method_rank
    from seen
    inner join resources
        on seen.usage_date = resources.usage_date and seen.host = resources.declared_host
),

best as (
    select *
    from candidates
    qualify
        row_number() over (
            partition by usage_date, host, gpu_uuid, provider_resource_id
            order by method_rank, issuer, resource_id
        ) = 1
),

final as (
    select
        seen.usage_date,
        seen.host,
        seen.gpu_uuid,
        seen.provider_resource_id,
        best.issuer,
        best.resource_id,
        best.holding_method,
        seen.boot_id,
        seen.first_seen_at,
        seen.last_seen_at,
        cast(seen.observed_ms as bigint) as observed_milliseconds,
        cast(seen.host_observed_ms as bigint) as host_observed_milliseconds
    from seen
    left join best
        on
            seen.usage_date = best.usage_date
            and seen.host = best.host
            and seen.gpu_uuid = best.gpu_uuid
            and seen.provider_resource_id is not distinct from best.provider_resource_id
)

select * from final
