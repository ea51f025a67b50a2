-- Idle runs, the dearest first; one that goes on after midnight is one run.
with
days as (
    select
        *,
        case
            when
                from_at = lag(to_at) over (
                    partition by host, gpu_uuid, cost_measure, billing_currency order by from_at
                )
                then 0
            else 1
        end as is_another
    from fct_idle_runs_daily
    where usage_date >= $from_date and usage_date < $to_date
),

numbered as (
    select
        *,
        sum(is_another) over (
            partition by host, gpu_uuid, cost_measure, billing_currency order by from_at
        ) as run_number
    from days
)

select
    host,
    gpu_uuid,
    min(from_at) as from_at,
    max(to_at) as to_at,
    cost_measure,
    max(resource_id) as resource_id,
    sum(gpu_milliseconds) / 3600000 as gpu_hours,
    sum(of_which_loaded_milliseconds) / 3600000 as of_which_loaded_gpu_hours,
    max(committed_until_date) as committed_until_date,
    case when count(*) = count(economic_cost_rc) then sum(economic_cost_rc) end as economic_cost_rc,
    case when count(*) = count(cash_recoverable_cost_rc) then sum(cash_recoverable_cost_rc) end
        as cash_recoverable_cost_rc
from numbered
group by host, gpu_uuid, cost_measure, billing_currency, run_number
order by economic_cost_rc desc nulls last, gpu_hours desc, host asc, gpu_uuid asc, from_at asc, cost_measure asc
