-- One row per issuer, resource_id, gpu_uuid, valid_from_at.
-- Which GPU each billed resource held, from when to when: an interval ends when the GPU is next seen elsewhere or after
-- a reboot, and stays open (NULL) until then.
-- partition: none
with
holdings as (
    select * from int_gpu_holdings_daily
    where resource_id is not null
),

sightings as (
    select * from int_gpu_sightings_daily
),

held as (
    select
        sightings.usage_date,
        sightings.gpu_uuid,
        sightings.host,
        sightings.boot_id,
        sightings.provider_resource_id,
        sightings.first_seen_at,
        holdings.issuer,
        holdings.resource_id,
        holdings.holding_method as method
    from sightings
    inner join holdings
        on
            sightings.usage_date = holdings.usage_date
            and sightings.host = holdings.host
            and sightings.gpu_uuid = holdings.gpu_uuid
            and sightings.provider_resource_id is not distinct from holdings.provider_resource_id
),

-- One day may hold a GPU twice, before and after a move; the order they were first seen in is the order of holding.
ordered as (
    select
        *,
        row_number() over gpu_sightings as sighting_number,
        lag(issuer) over gpu_sightings as previous_issuer,
        lag(resource_id) over gpu_sightings as previous_resource_id,
        lag(host) over gpu_sightings as previous_host,
        lag(boot_id) over gpu_sightings as previous_boot_id,
        lag(method) over gpu_sightings as previous_method
    from held
    window
        gpu_sightings as (
            partition by gpu_uuid order by first_seen_at, usage_date, host, boot_id, provider_resource_id
        )
),

changes as (
    select *
    from ordered
    where
        sighting_number = 1
        or issuer is distinct from previous_issuer
        or resource_id is distinct from previous_resource_id
        or host is distinct from previous_host
        or boot_id is distinct from previous_boot_id
        or method is distinct from previous_method
),

final as (
    select
        issuer,
        resource_id,
        gpu_uuid,
        first_seen_at as valid_from_at,
        host,
        boot_id,
        lead(first_seen_at) over (partition by gpu_uuid order by sighting_number) as valid_to_at,
        method
    from changes
)

select * from final
