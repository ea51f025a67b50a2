-- What each workload would cost on GPUs rented as breakeven.yaml says they could be: of its newest settled day before
-- the day given, one row a plan.
select
    usage_date,
    workload,
    deployment_id,
    plan,
    status,
    total_cost_rc,
    saving_rc_per_month,
    reason
from fct_rental_plans_daily
where usage_date < $to_date and status in ('decided', 'unknown')
qualify usage_date = max(usage_date) over (partition by workload, plan)
order by workload, plan
