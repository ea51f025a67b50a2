-- law: one_workload_per_served_model
-- scope: workload
-- partition: month
-- Tokens of one served model belong to one workload: what two rules claim goes to unassigned. Each workload that claims
-- them is told less than it was served, and `unassigned` more.
with
conflicts as (
    select
        usage_date,
        host,
        target,
        model_name,
        claiming_rules
    from int_self_host_workloads_daily
    where claiming_workload_count > 1
),

rules as (
    select
        *,
        unnest(string_split(claiming_rules, ', ')) as rule_id
    from conflicts
),

-- A rule is named by its workload and its number: `chat#2`.
concerned as (
    select
        * exclude (rule_id),
        split_part(rule_id, '#', 1) as workload
    from rules
    union
    select
        *,
        'unassigned' as workload
    from conflicts
)

select
    usage_date,
    'one_workload_per_served_model' as law,
    'workload:' || workload as scope,
    concat(
        usage_date, ' ', model_name, ' at ', target, ' on ', host, ': claimed by ', claiming_rules,
        '. It is unassigned: narrow one of them.'
    ) as detail
from concerned
