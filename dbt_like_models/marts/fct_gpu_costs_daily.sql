-- One row per usage_date, issuer, account, resource_id, deployment_id, state, cost_measure, billing_currency.
-- Where every dollar of the GPU bills went: GPU resources by state, and the bill's other lines beside them.
-- partition: month, days apart
with
gpu_costs as (
    select * from int_gpu_costs_daily
),

charges as (
    select * from int_gpu_charges_daily
    where not is_gpu_charge
),

resource_times as (
    select * from int_gpu_resource_time_daily
),

companies as (
    select * from config_company
),

rates as (
    select * from int_fx_rates_daily
),

rows_by_state as (
    select
        gpu_costs.usage_date,
        gpu_costs.issuer,
        gpu_costs.account,
        gpu_costs.resource_id,
        gpu_costs.deployment_id,
        gpu_costs.state,
        gpu_costs.cost_measure,
        gpu_costs.billing_currency,
        resource_times.host,
        resource_times.holding_method,
        gpu_costs.gpu_milliseconds,
        gpu_costs.realized_cost
    from gpu_costs
    left join resource_times
        on
            gpu_costs.usage_date = resource_times.usage_date
            and gpu_costs.issuer = resource_times.issuer
            and gpu_costs.resource_id = resource_times.resource_id
    union all
    select
        usage_date,
        issuer,
        account,
        resource_id,
        cast(null as varchar) as deployment_id,
        case
            when charge_kind in ('tax', 'per_use') then charge_kind
            when charge_kind in ('credit', 'discount') then 'credit'
            else 'overhead'
        end as state,
        cost_measure,
        billing_currency,
        cast(null as varchar) as host,
        cast(null as varchar) as holding_method,
        cast(null as bigint) as gpu_milliseconds,
        realized_cost
    from charges
),

-- Only a row whose every part has a price has one: an hour without a rate is not free.
summed as (
    select
        usage_date,
        issuer,
        account,
        resource_id,
        deployment_id,
        state,
        cost_measure,
        billing_currency,
        min(host) as host,
        min(holding_method) as holding_method,
        cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
        case
            when count(*) = count(realized_cost) then cast(sum(realized_cost) as decimal(38, 18))
        end as realized_cost
    from rows_by_state
    group by usage_date, issuer, account, resource_id, deployment_id, state, cost_measure, billing_currency
),

costs as (
    select
        *,
        cast(replace(cast(abs(realized_cost) as varchar), '.', '') as hugeint) as quanta
    from summed
),

final as (
    select
        costs.usage_date,
        costs.issuer,
        costs.account,
        costs.resource_id,
        costs.deployment_id,
        costs.state,
        costs.cost_measure,
        costs.host,
        costs.holding_method,
        costs.billing_currency,
        costs.gpu_milliseconds,
        costs.gpu_milliseconds / 3600000 as gpu_hours,
        costs.realized_cost,
        -- Quanta of 10^-18 x multiplier / divisor, half away from zero, the remainder apart so that only what is too
        -- large to be held overflows, and that stops the build.
        case
            when costs.billing_currency = companies.reporting_currency then costs.realized_cost
            else
                case when costs.realized_cost < 0 then -1 else 1 end
                * cast(
                    costs.quanta // rates.divisor * rates.multiplier
                    + (costs.quanta % rates.divisor * rates.multiplier * 2 + rates.divisor) // (rates.divisor * 2)
                    as decimal(38, 0)
                )
                * cast('0.000000000000000001' as decimal(19, 18))
        end as realized_cost_rc
    from costs
    left join companies
        on
            costs.usage_date >= coalesce(companies.valid_from_date, costs.usage_date)
            and costs.usage_date < coalesce(companies.valid_to_date, costs.usage_date + 1)
    left join rates
        on costs.usage_date = rates.usage_date and costs.billing_currency = rates.currency
)

select * from final
