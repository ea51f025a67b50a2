-- Verdicts of the period, a row a workload and day.
select
    usage_date,
    workload,
    team,
    deployment_id,
    status,
    recommendation,
    demand_tokens_per_day,
    breakeven_first_tokens_per_day,
    demand_ratio,
    saving_rc_per_month
from fct_verdicts_daily
where usage_date >= $from_date and usage_date < $to_date and status != 'not_settled'
order by workload, usage_date
