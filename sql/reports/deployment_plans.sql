-- What is best for all workloads of a deployment together: of its newest settled day before the day given, one row a
-- deployment; the sentence is that of each of its workloads.
with
newest as (
    select *
    from fct_deployment_plans_daily
    where usage_date < $to_date and status in ('decided', 'unknown')
    qualify usage_date = max(usage_date) over (partition by deployment_id)
)

select
    usage_date,
    deployment_id,
    status,
    best_replica_count,
    best_cost_rc,
    without_waiting_replica_count,
    waiting_saves_rc_per_month,
    min(reason) as reason
from newest
group by all
order by deployment_id
