-- Each workload's newest verdict before the day given: of its newest settled day, else of its newest day; with its
-- announced side, and how many later days are not settled.
with
days as (
    select
        *,
        max(usage_date) filter (where status != 'not_settled') over (partition by workload) as settled_date,
        max(usage_date) over (partition by workload) as newest_date
    from fct_verdicts_daily
    where usage_date < $to_date
)

select
    days.* exclude (settled_date, newest_date),
    days.newest_date - days.usage_date as later_unsettled_days_count,
    states.state,
    states.run_days_count,
    states.is_fired,
    states.reason as state_reason
from days
left join fct_alert_states_daily as states
    on days.workload = states.workload and days.usage_date = states.usage_date
where days.usage_date = coalesce(days.settled_date, days.newest_date)
order by days.workload
