-- The latest verdict of each workload on or before the last day asked for, with its announced side.
select
    verdicts.*,
    states.state,
    states.run_days_count,
    states.is_fired,
    states.reason as state_reason
from fct_verdicts_daily as verdicts
left join fct_alert_states_daily as states
    on verdicts.workload = states.workload and verdicts.usage_date = states.usage_date
where verdicts.usage_date < $to_date
qualify row_number() over (partition by verdicts.workload order by verdicts.usage_date desc) = 1
order by verdicts.workload
