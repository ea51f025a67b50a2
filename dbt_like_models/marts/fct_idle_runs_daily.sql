-- One row per usage_date, host, gpu_uuid, from_at, cost_measure, billing_currency.
-- Runs of whole hours, within a day, in which a GPU was watched and did nothing: loaded without a request, or held by
-- nobody, for 95% of each hour; of resources whose declared scope is training there are none. What such an hour cost is
-- its part of what the GPU's idle time of that day cost. What of it could come back as cash is of the hours in which
-- all GPUs that are billed as one were idle together, and none of it while they are committed, or owned.
-- partition: month, days apart
with
hourly_states as (
    select * from int_gpu_states_hourly
    where state in ('loaded_idle', 'unallocated')
),

holdings as (
    select * from int_gpu_holdings_daily
    where resource_id is not null
),

training_gpus as (
    select distinct
        holdings.usage_date,
        holdings.host,
        holdings.gpu_uuid
    from holdings
    inner join config_gpu_resources as gpu_resources
        on
            holdings.issuer = gpu_resources.issuer
            and holdings.resource_id = gpu_resources.resource_id
            and holdings.usage_date >= coalesce(gpu_resources.valid_from_date, holdings.usage_date)
            and holdings.usage_date < coalesce(gpu_resources.valid_to_date, holdings.usage_date + 1)
    where gpu_resources.scope = 'training'
),

resource_times as (
    select * from int_gpu_resource_time_daily
),

idle_costs as (
    select * from int_gpu_costs_daily
    where state in ('loaded_idle', 'unallocated') and gpu_milliseconds > 0
),

companies as (
    select * from config_company
),

rates as (
    select * from int_fx_rates_daily
),

hours as (
    select
        hourly_states.usage_date,
        hourly_states.host,
        hourly_states.gpu_uuid,
        hourly_states.usage_hour_at,
        sum(hourly_states.gpu_milliseconds) as idle_ms,
        sum(case when hourly_states.state = 'loaded_idle' then hourly_states.gpu_milliseconds else 0 end) as loaded_ms
    from hourly_states
    left join training_gpus
        on
            hourly_states.usage_date = training_gpus.usage_date
            and hourly_states.host = training_gpus.host
            and hourly_states.gpu_uuid = training_gpus.gpu_uuid
    where training_gpus.gpu_uuid is null
    group by hourly_states.usage_date, hourly_states.host, hourly_states.gpu_uuid, hourly_states.usage_hour_at
    having sum(hourly_states.gpu_milliseconds) >= 3420000
),

idle_hours as (
    select
        hours.*,
        holdings.issuer,
        holdings.resource_id,
        hours.idle_ms - hours.loaded_ms as free_ms,
        count(*) over resource_hour as idle_gpu_count,
        count(*) filter (where hours.idle_ms - hours.loaded_ms >= 3420000) over resource_hour as free_gpu_count
    from hours
    left join holdings
        on
            hours.usage_date = holdings.usage_date
            and hours.host = holdings.host
            and hours.gpu_uuid = holdings.gpu_uuid
    window
        resource_hour as (
            partition by hours.usage_date, holdings.issuer, holdings.resource_id, hours.usage_hour_at
        )
    qualify
        row_number() over (
            partition by hours.usage_date, hours.host, hours.gpu_uuid, hours.usage_hour_at
            order by holdings.issuer asc nulls last, holdings.resource_id asc
        ) = 1
),

numbered as (
    select
        idle_hours.*,
        resource_times.gpu_count is not null
        and idle_hours.idle_gpu_count >= resource_times.gpu_count as is_whole_resource,
        resource_times.gpu_count is not null
        and idle_hours.free_gpu_count >= resource_times.gpu_count as is_free_resource,
        resource_times.committed_until_date,
        epoch_ms(idle_hours.usage_hour_at) // 3600000
        - row_number() over (
            partition by idle_hours.usage_date, idle_hours.host, idle_hours.gpu_uuid order by idle_hours.usage_hour_at
        ) as run_number
    from idle_hours
    left join resource_times
        on
            idle_hours.usage_date = resource_times.usage_date
            and idle_hours.issuer = resource_times.issuer
            and idle_hours.resource_id = resource_times.resource_id
),

runs as (
    select
        usage_date,
        host,
        gpu_uuid,
        issuer,
        resource_id,
        min(usage_hour_at) as from_at,
        max(usage_hour_at) + to_hours(1) as to_at,
        sum(idle_ms) as idle_ms,
        sum(loaded_ms) as loaded_ms,
        committed_until_date,
        sum(case when is_whole_resource then idle_ms else 0 end) as whole_ms,
        sum(case when is_free_resource then free_ms else 0 end) as free_resource_ms
    from numbered
    group by usage_date, host, gpu_uuid, issuer, resource_id, committed_until_date, run_number
),

gpu_days as (
    select
        usage_date,
        issuer,
        resource_id,
        gpu_uuid,
        cost_measure,
        billing_currency,
        sum(gpu_milliseconds) as gpu_ms,
        case when count(*) = count(realized_cost) then sum(realized_cost) end as idle_cost
    from idle_costs
    group by usage_date, issuer, resource_id, gpu_uuid, cost_measure, billing_currency
),

-- Without a bill or an agreement there is no cost, which is not 0.
priced as (
    select
        runs.*,
        gpu_days.cost_measure,
        gpu_days.billing_currency,
        gpu_days.idle_cost,
        -- Where more idle time was watched than is billed, the runs of a day share what its idle time cost.
        greatest(
            gpu_days.gpu_ms,
            sum(runs.idle_ms) over (
                partition by
                    runs.usage_date, runs.issuer, runs.resource_id, runs.gpu_uuid,
                    gpu_days.cost_measure, gpu_days.billing_currency
            )
        ) as day_ms,
        cast(replace(cast(abs(gpu_days.idle_cost) as varchar), '.', '') as hugeint) as quanta
    from runs
    left join gpu_days
        on
            runs.usage_date = gpu_days.usage_date
            and runs.issuer = gpu_days.issuer
            and runs.resource_id = gpu_days.resource_id
            and runs.gpu_uuid = gpu_days.gpu_uuid
),

parts as (
    select
        *,
        quanta // day_ms * idle_ms + quanta % day_ms * idle_ms // day_ms as idle_quanta,
        case
            when committed_until_date is not null or cost_measure = 'effective' or idle_cost < 0 then 0 * quanta
            else quanta // day_ms * whole_ms + quanta % day_ms * whole_ms // day_ms
        end as cash_quanta
    from priced
),

costs as (
    select
        *,
        case when idle_cost < 0 then -1 else 1 end
        * cast(idle_quanta as decimal(38, 0)) * cast('0.000000000000000001' as decimal(19, 18)) as economic_cost,
        cast(cash_quanta as decimal(38, 0)) * cast('0.000000000000000001' as decimal(19, 18))
            as cash_recoverable_cost
    from parts
),

final as (
    select
        costs.usage_date,
        costs.host,
        costs.gpu_uuid,
        costs.from_at,
        costs.to_at,
        costs.issuer,
        costs.resource_id,
        costs.cost_measure,
        costs.billing_currency,
        cast(costs.idle_ms as bigint) as gpu_milliseconds,
        cast(costs.loaded_ms as bigint) as of_which_loaded_milliseconds,
        cast(costs.whole_ms as bigint) as of_which_whole_resource_milliseconds,
        cast(costs.free_resource_ms as bigint) as of_which_unallocated_resource_milliseconds,
        costs.committed_until_date,
        costs.economic_cost,
        costs.cash_recoverable_cost,
        -- Quanta of 10^-18 x multiplier / divisor, half away from zero.
        case
            when costs.billing_currency = companies.reporting_currency then costs.economic_cost
            else
                case when costs.economic_cost < 0 then -1 else 1 end
                * cast(
                    costs.idle_quanta // rates.divisor * rates.multiplier
                    + (costs.idle_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor) // (rates.divisor * 2)
                    as decimal(38, 0)
                )
                * cast('0.000000000000000001' as decimal(19, 18))
        end as economic_cost_rc,
        case
            when costs.billing_currency = companies.reporting_currency then costs.cash_recoverable_cost
            else
                case when costs.cash_recoverable_cost < 0 then -1 else 1 end
                * cast(
                    costs.cash_quanta // rates.divisor * rates.multiplier
                    + (costs.cash_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor) // (rates.divisor * 2)
                    as decimal(38, 0)
                )
                * cast('0.000000000000000001' as decimal(19, 18))
        end as cash_recoverable_cost_rc
    from costs
    left join companies
        on
            costs.usage_date >= coalesce(companies.valid_from_date, costs.usage_date)
            and costs.usage_date < coalesce(companies.valid_to_date, costs.usage_date + 1)
    left join rates
        on costs.usage_date = rates.usage_date and costs.billing_currency = rates.currency
)

select * from final
