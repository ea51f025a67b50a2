-- One row per usage_date, host, gpu_uuid, provider_resource_id.
-- To which billed or agreed resource each GPU seen that day belongs, and by which evidence; NULL where by none. The
-- best evidence counts: the resource id that its host was told, else the one under which this GPU was last seen on this
-- host in the week before, else a tag of one resource alone that is the host's name, else the host that is declared
-- for a resource, else the pool that the host is declared to be of.
-- partition: month, days apart
-- lookback: int_gpu_sightings_daily 7 days
with
all_sightings as (
    select * from int_gpu_sightings_daily
),

sightings as (
    select all_sightings.*
    from all_sightings
    cross join this_partition
    where all_sightings.usage_date >= this_partition.from_date
),

pool_hosts as (
    select * from config_gpu_pool_hosts
),

tags as (
    select * from stg_aws_cur2__resource_tags_daily
    union all by name
    select * from stg_focus__resource_tags_daily
),

resource_tags as (
    select
        tags.usage_date,
        coalesce(config_sources.issuer, tags.account) as issuer,
        tags.resource_id,
        tags.tag_value
    from tags
    left join config_sources
        on
            tags.source = config_sources.source
            and config_sources.dataset = 'cost_and_usage'
            and tags.account = config_sources.account
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

-- Under which id a GPU was seen on its host last, up to the day and no longer ago than a week.
held_before as (
    select
        sightings.usage_date,
        sightings.host,
        sightings.gpu_uuid,
        arg_max(
            earlier.provider_resource_id, (earlier.usage_date, earlier.last_seen_at, earlier.provider_resource_id)
        ) as resource_id
    from (
        select distinct
            usage_date,
            host,
            gpu_uuid
        from sightings
        where provider_resource_id is null
    ) as sightings
    inner join all_sightings as earlier
        on
            sightings.host = earlier.host
            and sightings.gpu_uuid = earlier.gpu_uuid
            and sightings.usage_date >= earlier.usage_date
            and sightings.usage_date - 7 <= earlier.usage_date
    where earlier.provider_resource_id is not null
    group by sightings.usage_date, sightings.host, sightings.gpu_uuid
),

-- A name that two resources carry tells neither.
host_tags as (
    select
        resource_tags.usage_date,
        resource_tags.tag_value as host,
        min(resource_tags.issuer) as issuer,
        min(resource_tags.resource_id) as resource_id
    from resource_tags
    inner join resources
        on
            resource_tags.usage_date = resources.usage_date
            and resource_tags.issuer = resources.issuer
            and resource_tags.resource_id = resources.resource_id
    group by resource_tags.usage_date, resource_tags.tag_value
    having
        min(resource_tags.issuer) = max(resource_tags.issuer)
        and min(resource_tags.resource_id) = max(resource_tags.resource_id)
),

evidence as (
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
        'uuid_held' as holding_method,
        2 as method_rank
    from seen
    inner join held_before
        on
            seen.usage_date = held_before.usage_date
            and seen.host = held_before.host
            and seen.gpu_uuid = held_before.gpu_uuid
    inner join resources
        on held_before.usage_date = resources.usage_date and held_before.resource_id = resources.resource_id
    where seen.provider_resource_id is null
    union
    select
        seen.usage_date,
        seen.host,
        seen.gpu_uuid,
        seen.provider_resource_id,
        host_tags.issuer,
        host_tags.resource_id,
        'tag' as holding_method,
        3 as method_rank
    from seen
    inner join host_tags
        on seen.usage_date = host_tags.usage_date and seen.host = host_tags.host
    union
    select
        seen.usage_date,
        seen.host,
        seen.gpu_uuid,
        seen.provider_resource_id,
        resources.issuer,
        resources.resource_id,
        'declared_host' as holding_method,
        4 as method_rank
    from seen
    inner join resources
        on seen.usage_date = resources.usage_date and seen.host = resources.declared_host
    union
    select
        seen.usage_date,
        seen.host,
        seen.gpu_uuid,
        seen.provider_resource_id,
        resources.issuer,
        resources.resource_id,
        'pool' as holding_method,
        5 as method_rank
    from seen
    inner join pool_hosts
        on
            seen.host = pool_hosts.host
            and seen.usage_date >= coalesce(pool_hosts.valid_from_date, seen.usage_date)
            and seen.usage_date < coalesce(pool_hosts.valid_to_date, seen.usage_date + 1)
    inner join resources
        on
            seen.usage_date = resources.usage_date
            and pool_hosts.issuer = resources.issuer
            and pool_hosts.resource_id = resources.resource_id
),

best as (
    select *
    from evidence
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
