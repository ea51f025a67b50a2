-- Of each workload that is weighed together with others, or may wait: the count that its deployment's plan has for all
-- of them, on the day of its newest decided plan.
select
    usage_date,
    workload,
    best_replica_count as plan_replica_count
from fct_deployment_plans_daily
where usage_date < $to_date and status = 'decided'
qualify usage_date = max(usage_date) over (partition by workload)
order by workload
