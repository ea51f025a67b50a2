-- One row per usage_date, issuer, resource_id, gpu_uuid, deployment_id, state.
-- Every paid GPU-millisecond of a resource in exactly one state. What was paid for and not observed is not_present
-- while the host was watched and showed fewer GPUs than are paid for, else unobserved; never idle. Where more was seen
-- than is paid for, the states are cut in proportion to what is paid, and fct_gpu_leftovers_daily shows the rest. On a
-- resource whose declared scope is training, time that no engine claims is `training`, whatever was seen of it, and no
-- deployment's: it is in the price of no token.
-- partition: month, days apart
with
resource_times as (
    select * from int_gpu_resource_time_daily
    where is_paid
),

holdings as (
    select * from int_gpu_holdings_daily
    where resource_id is not null
),

observed_states as (
    select * from int_gpu_observed_states_daily
),

engine_deployments as (
    select * from int_engine_deployments_daily
),

deployment_hosts as (
    select * from config_deployment_hosts
),

days as (
    select * from calendar
),

host_deployments as (
    select
        days.usage_date,
        deployment_hosts.host,
        case when count(distinct deployment_hosts.deployment_id) = 1 then min(deployment_hosts.deployment_id) end
            as deployment_id
    from deployment_hosts
    inner join days
        on
            days.usage_date >= coalesce(deployment_hosts.valid_from_date, days.usage_date)
            and days.usage_date < coalesce(deployment_hosts.valid_to_date, days.usage_date + 1)
    group by days.usage_date, deployment_hosts.host
),

target_deployments as (
    select
        usage_date,
        host,
        target,
        case when count(distinct deployment_id) = 1 then min(deployment_id) end as deployment_id
    from engine_deployments
    group by usage_date, host, target
),

held_states as (
    select
        holdings.usage_date,
        holdings.issuer,
        holdings.resource_id,
        observed_states.gpu_uuid,
        observed_states.state,
        host_deployments.deployment_id as host_deployment_id,
        target_deployments.deployment_id as target_deployment_id,
        observed_states.gpu_milliseconds
    from observed_states
    inner join holdings
        on
            observed_states.usage_date = holdings.usage_date
            and observed_states.host = holdings.host
            and observed_states.gpu_uuid = holdings.gpu_uuid
            and observed_states.provider_resource_id is not distinct from holdings.provider_resource_id
    left join host_deployments
        on observed_states.usage_date = host_deployments.usage_date and observed_states.host = host_deployments.host
    left join target_deployments
        on
            observed_states.usage_date = target_deployments.usage_date
            and observed_states.host = target_deployments.host
            and observed_states.target = target_deployments.target
),

-- Whose a resource's unseen hours are: the deployment its host is declared for, else the only one seen on it.
engine_resources as (
    select
        usage_date,
        issuer,
        resource_id,
        case when count(distinct target_deployment_id) = 1 then min(target_deployment_id) end as deployment_id
    from held_states
    group by usage_date, issuer, resource_id
),

resources as (
    select
        resource_times.usage_date,
        resource_times.issuer,
        resource_times.resource_id,
        resource_times.gpu_count,
        resource_times.seen_gpu_count,
        resource_times.paid_milliseconds as paid_ms,
        resource_times.observed_milliseconds as observed_ms,
        resource_times.host_observed_milliseconds as host_observed_ms,
        host_deployments.deployment_id as host_deployment_id,
        engine_resources.deployment_id as engine_deployment_id
    from resource_times
    left join host_deployments
        on resource_times.usage_date = host_deployments.usage_date and resource_times.host = host_deployments.host
    left join engine_resources
        on
            resource_times.usage_date = engine_resources.usage_date
            and resource_times.issuer = engine_resources.issuer
            and resource_times.resource_id = engine_resources.resource_id
    where resource_times.paid_milliseconds > 0
),

attributed as (
    select
        held_states.usage_date,
        held_states.issuer,
        held_states.resource_id,
        held_states.gpu_uuid,
        held_states.state,
        case
            when held_states.state in ('serving', 'loaded_idle', 'starting', 'conflict')
                then coalesce(held_states.target_deployment_id, held_states.host_deployment_id)
            when held_states.state = 'unhealthy'
                then coalesce(held_states.host_deployment_id, resources.engine_deployment_id)
            else held_states.host_deployment_id
        end as deployment_id,
        resources.paid_ms,
        resources.observed_ms,
        held_states.gpu_milliseconds
    from held_states
    inner join resources
        on
            held_states.usage_date = resources.usage_date
            and held_states.issuer = resources.issuer
            and held_states.resource_id = resources.resource_id
),

cells as (
    select
        usage_date,
        issuer,
        resource_id,
        gpu_uuid,
        deployment_id,
        state,
        max(paid_ms) as paid_ms,
        max(observed_ms) as observed_ms,
        sum(gpu_milliseconds) as seen_ms
    from attributed
    group by usage_date, issuer, resource_id, gpu_uuid, deployment_id, state
),

floored as (
    select
        *,
        case when observed_ms <= paid_ms then seen_ms else paid_ms * seen_ms // observed_ms end as floor_ms,
        case when observed_ms <= paid_ms then 0 else paid_ms * seen_ms % observed_ms end as remainder
    from cells
),

seen_cells as (
    select
        usage_date,
        issuer,
        resource_id,
        gpu_uuid,
        deployment_id,
        state,
        floor_ms + case
            when
                row_number()
                    over (
                        partition by usage_date, issuer, resource_id
                        order by remainder desc, gpu_uuid asc, state asc, deployment_id asc
                    )
                <= least(paid_ms, observed_ms) - sum(floor_ms) over resource_day
                then 1
            else 0
        end as state_ms
    from floored
    window resource_day as (partition by usage_date, issuer, resource_id)
),

unseen as (
    select
        *,
        greatest(paid_ms - observed_ms, 0) as unseen_ms,
        case
            when seen_gpu_count > 0
                then least(
                    greatest(paid_ms - observed_ms, 0), greatest(gpu_count - seen_gpu_count, 0) * host_observed_ms
                )
            else 0
        end as not_present_ms
    from resources
),

states as (
    select * from seen_cells
    union all by name
    select
        unseen.usage_date,
        unseen.issuer,
        unseen.resource_id,
        cast(null as varchar) as gpu_uuid,
        case
            when unseen_states.state = 'not_present' then unseen.host_deployment_id
            else coalesce(unseen.host_deployment_id, unseen.engine_deployment_id)
        end as deployment_id,
        unseen_states.state,
        case
            when unseen_states.state = 'not_present' then unseen.not_present_ms
            else unseen.unseen_ms - unseen.not_present_ms
        end as state_ms
    from unseen
    cross join (select unnest(['not_present', 'unobserved']) as state) as unseen_states
),

training_resources as (
    select distinct
        resources.usage_date,
        resources.issuer,
        resources.resource_id
    from resources
    inner join config_gpu_resources as gpu_resources
        on
            resources.issuer = gpu_resources.issuer
            and resources.resource_id = gpu_resources.resource_id
            and resources.usage_date >= coalesce(gpu_resources.valid_from_date, resources.usage_date)
            and resources.usage_date < coalesce(gpu_resources.valid_to_date, resources.usage_date + 1)
    where gpu_resources.scope = 'training'
),

scoped as (
    select
        states.usage_date,
        states.issuer,
        states.resource_id,
        states.gpu_uuid,
        states.deployment_id,
        states.state,
        states.state_ms,
        training_resources.resource_id is not null
        and states.state in ('held_other', 'unallocated', 'unobserved') as is_training
    from states
    left join training_resources
        on
            states.usage_date = training_resources.usage_date
            and states.issuer = training_resources.issuer
            and states.resource_id = training_resources.resource_id
    where states.state_ms > 0
),

final as (
    select
        usage_date,
        issuer,
        resource_id,
        gpu_uuid,
        case when not is_training then deployment_id end as deployment_id,
        case when is_training then 'training' else state end as state,
        cast(sum(state_ms) as bigint) as gpu_milliseconds
    from scoped
    group by all
)

select * from final
