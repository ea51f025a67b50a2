-- One row per usage_date, issuer, resource_id.
-- The hours each GPU resource is paid for beside the hours its GPUs were observed: what the states must add up to; and
-- until when it is committed on that day.
-- partition: month, days apart
with
resource_costs as (
    select * from int_gpu_resource_costs_daily
),

holdings as (
    select * from int_gpu_holdings_daily
    where resource_id is not null
),

observed_states as (
    select * from int_gpu_observed_states_daily
),

gpu_resources as (
    select * from config_gpu_resources
),

-- Two bills may pay for the same hours (a rented node and its declared power): an invoice's hours come first.
paid as (
    select
        usage_date,
        issuer,
        resource_id,
        max(declared_host) as declared_host,
        max(gpu_count) as gpu_count,
        coalesce(
            sum(gpu_milliseconds) filter (where cost_measure = 'billed'),
            sum(gpu_milliseconds) filter (where cost_measure != 'billed')
        ) as paid_ms,
        bool_or(cost_measure = 'accrued') as is_accrued
    from resource_costs
    group by usage_date, issuer, resource_id
),

seen as (
    select
        usage_date,
        issuer,
        resource_id,
        case when count(distinct host) = 1 then min(host) end as host,
        string_agg(distinct holding_method, '+' order by holding_method) as holding_method,
        count(distinct gpu_uuid) as seen_gpu_count
    from holdings
    group by usage_date, issuer, resource_id
),

seen_hosts as (
    select
        usage_date,
        issuer,
        resource_id,
        host,
        max(host_observed_milliseconds) as host_observed_ms
    from holdings
    group by usage_date, issuer, resource_id, host
),

seen_host_totals as (
    select
        usage_date,
        issuer,
        resource_id,
        max(host_observed_ms) as host_observed_ms
    from seen_hosts
    group by usage_date, issuer, resource_id
),

observed as (
    select
        holdings.usage_date,
        holdings.issuer,
        holdings.resource_id,
        sum(observed_states.gpu_milliseconds) as observed_ms
    from observed_states
    inner join holdings
        on
            observed_states.usage_date = holdings.usage_date
            and observed_states.host = holdings.host
            and observed_states.gpu_uuid = holdings.gpu_uuid
            and observed_states.provider_resource_id is not distinct from holdings.provider_resource_id
    group by holdings.usage_date, holdings.issuer, holdings.resource_id
),

resource_days as (
    select
        usage_date,
        issuer,
        resource_id
    from paid
    union
    select
        usage_date,
        issuer,
        resource_id
    from seen
),

commitments as (
    select
        resource_days.usage_date,
        resource_days.issuer,
        resource_days.resource_id,
        max(gpu_resources.committed_until_date) as committed_until_date
    from resource_days
    inner join gpu_resources
        on
            resource_days.issuer = gpu_resources.issuer
            and resource_days.resource_id = gpu_resources.resource_id
            and resource_days.usage_date >= coalesce(gpu_resources.valid_from_date, resource_days.usage_date)
            and resource_days.usage_date < coalesce(gpu_resources.valid_to_date, resource_days.usage_date + 1)
    where gpu_resources.committed_until_date > resource_days.usage_date
    group by resource_days.usage_date, resource_days.issuer, resource_days.resource_id
),

-- A resource without any sample was observed for 0 ms: that is a count, not a reading.
final as (
    select
        resource_days.usage_date,
        resource_days.issuer,
        resource_days.resource_id,
        -- A resource that several hosts are seen of has no one.
        case when seen.seen_gpu_count > 0 then seen.host else paid.declared_host end as host,
        seen.holding_method,
        paid.gpu_count,
        coalesce(seen.seen_gpu_count, 0) as seen_gpu_count,
        cast(paid.paid_ms as bigint) as paid_milliseconds,
        cast(coalesce(observed.observed_ms, 0) as bigint) as observed_milliseconds,
        cast(coalesce(seen_host_totals.host_observed_ms, 0) as bigint) as host_observed_milliseconds,
        paid.resource_id is not null as is_paid,
        coalesce(paid.is_accrued, false) as is_accrued,
        commitments.committed_until_date
    from resource_days
    left join paid
        on
            resource_days.usage_date = paid.usage_date
            and resource_days.issuer = paid.issuer
            and resource_days.resource_id = paid.resource_id
    left join seen
        on
            resource_days.usage_date = seen.usage_date
            and resource_days.issuer = seen.issuer
            and resource_days.resource_id = seen.resource_id
    left join seen_host_totals
        on
            resource_days.usage_date = seen_host_totals.usage_date
            and resource_days.issuer = seen_host_totals.issuer
            and resource_days.resource_id = seen_host_totals.resource_id
    left join observed
        on
            resource_days.usage_date = observed.usage_date
            and resource_days.issuer = observed.issuer
            and resource_days.resource_id = observed.resource_id
    left join commitments
        on
            resource_days.usage_date = commitments.usage_date
            and resource_days.issuer = commitments.issuer
            and resource_days.resource_id = commitments.resource_id
)

select * from final
