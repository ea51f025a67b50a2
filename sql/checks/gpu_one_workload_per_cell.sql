-- law: one_workload_per_served_model
-- scope: workload
-- partition: none
-- Tokens of one served model belong to one workload: what two rules claim goes to unassigned, and here.
select
    'one_workload_per_served_model' as law,
    'workload:unassigned' as scope,
    concat(usage_date, ' ', model_name, ' on ', host, ': claimed by ', claiming_rules, '.') as detail
from int_self_host_workloads_daily
where claiming_workload_count > 1
