-- The published plan of a deployment, by workload, with the API price and the costs that each workload's verdict takes.
select
    plans.*,
    verdicts.api_price_rc_per_mtok,
    verdicts.replica_cost_rc as verdict_replica_cost_rc,
    verdicts.fixed_cost_rc as verdict_fixed_cost_rc,
    allowances.peak_allowance_ratio as workload_allowance_ratio,
    releases.capacity_tokens_per_replica_hour,
    releases.capacity_source
from fct_deployment_plans_daily as plans
left join fct_verdicts_daily as verdicts
    on plans.workload = verdicts.workload and plans.usage_date = verdicts.usage_date
left join fct_peak_allowances_daily as allowances
    on plans.workload = allowances.workload and plans.usage_date = allowances.usage_date
left join fct_scale_downs_daily as releases
    on plans.deployment_id = releases.deployment_id and plans.usage_date = releases.usage_date
where plans.deployment_id = $deployment and plans.usage_date = cast($usage_date as date)
order by plans.order_number, plans.workload
