-- One row per usage_date, issuer, account, resource_id, gpu_uuid, deployment_id, state, cost_measure, billing_currency.
-- What each state of each GPU cost: a resource-day's money split over its states by GPU-milliseconds, exactly. Money
-- that pays for no known hours stays in one row without hours: a credit, or else unobserved.
-- partition: month, days apart
with
resource_costs as (
    select * from int_gpu_resource_costs_daily
),

resource_times as (
    select * from int_gpu_resource_time_daily
),

states as (
    select * from int_gpu_states_daily
),

costs as (
    select
        resource_costs.usage_date,
        resource_costs.issuer,
        resource_costs.account,
        resource_costs.resource_id,
        resource_costs.cost_measure,
        resource_costs.billing_currency,
        resource_costs.realized_cost,
        cast(replace(cast(abs(resource_costs.realized_cost) as varchar), '.', '') as hugeint) as quanta,
        resource_times.paid_milliseconds as paid_ms,
        -- Whose hours these are when two bills pay for the same resource: an invoice's before any other's.
        case
            when
                resource_costs.cost_measure = 'billed'
                or not bool_or(resource_costs.cost_measure = 'billed' and resource_costs.gpu_milliseconds is not null)
                    over (partition by resource_costs.usage_date, resource_costs.issuer, resource_costs.resource_id)
                then resource_costs.gpu_milliseconds
        end as own_ms
    from resource_costs
    inner join resource_times
        on
            resource_costs.usage_date = resource_times.usage_date
            and resource_costs.issuer = resource_times.issuer
            and resource_costs.resource_id = resource_times.resource_id
),

cells as (
    select
        costs.usage_date,
        costs.issuer,
        costs.account,
        costs.resource_id,
        costs.cost_measure,
        costs.billing_currency,
        costs.realized_cost,
        costs.quanta,
        costs.paid_ms,
        states.gpu_uuid,
        states.deployment_id,
        states.state,
        states.gpu_milliseconds as state_ms,
        costs.quanta // costs.paid_ms * states.gpu_milliseconds
        + costs.quanta % costs.paid_ms * states.gpu_milliseconds // costs.paid_ms as floor_quanta,
        costs.quanta % costs.paid_ms * states.gpu_milliseconds % costs.paid_ms as quanta_remainder,
        cast(coalesce(costs.own_ms, 0) as hugeint) * states.gpu_milliseconds // costs.paid_ms as floor_ms,
        cast(coalesce(costs.own_ms, 0) as hugeint) * states.gpu_milliseconds % costs.paid_ms as ms_remainder
    from costs
    inner join states
        on
            costs.usage_date = states.usage_date
            and costs.issuer = states.issuer
            and costs.resource_id = states.resource_id
    where costs.paid_ms > 0
),

shared as (
    select
        *,
        floor_quanta + case
            when
                row_number()
                    over (
                        partition by usage_date, issuer, account, resource_id, cost_measure, billing_currency
                        order by quanta_remainder desc, gpu_uuid asc, state asc, deployment_id asc
                    )
                <= quanta - sum(floor_quanta) over charge
                then 1
            else 0
        end as share_quanta,
        floor_ms + case
            when
                row_number()
                    over (
                        partition by usage_date, issuer, resource_id, gpu_uuid, deployment_id, state
                        order by ms_remainder desc, account asc, cost_measure asc, billing_currency asc
                    )
                <= state_ms - sum(floor_ms) over cell
                then 1
            else 0
        end as share_ms
    from cells
    window
        charge as (partition by usage_date, issuer, account, resource_id, cost_measure, billing_currency),
        cell as (partition by usage_date, issuer, resource_id, gpu_uuid, deployment_id, state)
),

final as (
    select
        usage_date,
        issuer,
        account,
        resource_id,
        gpu_uuid,
        deployment_id,
        state,
        cost_measure,
        billing_currency,
        cast(share_ms as bigint) as gpu_milliseconds,
        cast(
            case when realized_cost < 0 then -1 else 1 end
            * cast(share_quanta as decimal(38, 0)) * cast('0.000000000000000001' as decimal(19, 18))
            as decimal(38, 18)
        ) as realized_cost
    from shared
    union all by name
    select
        usage_date,
        issuer,
        account,
        resource_id,
        cast(null as varchar) as gpu_uuid,
        cast(null as varchar) as deployment_id,
        case when realized_cost < 0 then 'credit' else 'unobserved' end as state,
        cost_measure,
        billing_currency,
        cast(null as bigint) as gpu_milliseconds,
        realized_cost
    from costs
    where paid_ms is null or paid_ms = 0
)

select * from final
