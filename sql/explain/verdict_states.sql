-- The alert state of a workload, day by day, beside the ratio that moved it.
select
    states.usage_date,
    verdicts.status,
    verdicts.demand_ratio,
    states.state,
    states.run_days_count,
    states.is_fired,
    states.is_frozen,
    states.reason
from fct_alert_states_daily as states
left join fct_verdicts_daily as verdicts
    on states.workload = verdicts.workload and states.usage_date = verdicts.usage_date
where states.workload = $workload and states.usage_date <= cast($usage_date as date)
order by states.usage_date desc
