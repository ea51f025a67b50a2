-- One row per usage_date, kind, issuer, resource_id, host, gpu_uuid.
-- What joins to nothing: hours billed for a resource that no telemetry ever showed, GPU hours seen that no bill and no
-- agreement pays for, and resources declared for days that their issuer has billed without them (how many hours is not
-- known). Seen but not paid is said only of days that are over.
-- partition: month
with
resource_times as (
    select * from int_gpu_resource_time_daily
),

holdings as (
    select * from int_gpu_holdings_daily
),

ended_resources as (
    select * from int_gpu_ended_resources_daily
),

days as (
    select * from calendar
),

leftovers as (
    select
        resource_times.usage_date,
        'billed_never_seen' as kind,
        resource_times.issuer,
        resource_times.resource_id,
        resource_times.host,
        cast(null as varchar) as gpu_uuid,
        resource_times.paid_milliseconds as gpu_ms
    from resource_times
    inner join days
        on resource_times.usage_date = days.usage_date and days.is_over
    where resource_times.is_paid and not resource_times.is_accrued and resource_times.seen_gpu_count = 0
    union all
    select
        usage_date,
        'seen_never_billed' as kind,
        issuer,
        resource_id,
        host,
        cast(null as varchar) as gpu_uuid,
        observed_milliseconds - paid_milliseconds as gpu_ms
    from resource_times
    where is_paid and observed_milliseconds > paid_milliseconds
    union all
    select
        holdings.usage_date,
        'seen_never_billed' as kind,
        holdings.issuer,
        holdings.resource_id,
        holdings.host,
        holdings.gpu_uuid,
        holdings.observed_milliseconds as gpu_ms
    from holdings
    inner join days
        on holdings.usage_date = days.usage_date and days.is_over
    left join resource_times
        on
            holdings.usage_date = resource_times.usage_date
            and holdings.issuer = resource_times.issuer
            and holdings.resource_id = resource_times.resource_id
    where (holdings.resource_id is null or not resource_times.is_paid) and holdings.observed_milliseconds > 0
    union all
    select
        usage_date,
        'no_longer_billed' as kind,
        issuer,
        resource_id,
        declared_host as host,
        cast(null as varchar) as gpu_uuid,
        cast(null as bigint) as gpu_ms
    from ended_resources
),

final as (
    select
        usage_date,
        kind,
        issuer,
        resource_id,
        host,
        gpu_uuid,
        cast(sum(gpu_ms) as bigint) as gpu_milliseconds,
        sum(gpu_ms) / 3600000 as gpu_hours
    from leftovers
    group by usage_date, kind, issuer, resource_id, host, gpu_uuid
)

select * from final
