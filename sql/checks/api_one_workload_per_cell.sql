-- law: one_workload_per_cell
-- scope: workload
-- partition: none
-- No two workloads claim the same API traffic. What two claim is `unassigned` until one rule is narrowed: each of them
-- is told less than its traffic, and `unassigned` more. The account's money and tokens are whole.
with
conflicts as (
    select
        provider,
        account,
        sub_account_id,
        api_key_id,
        model,
        gateway_key_id,
        gateway_team_id,
        claiming_rules,
        count(*) as days_count,
        min(usage_date) as first_date,
        max(usage_date) as last_date
    from int_api_workloads_daily
    where claiming_workload_count > 1
    group by
        provider, account, sub_account_id, api_key_id, model, gateway_key_id, gateway_team_id, claiming_rules
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
    'one_workload_per_cell' as law,
    'workload:' || workload as scope,
    concat(
        'Rules ',
        claiming_rules,
        ' claim the same traffic (account ',
        account,
        ', sub-account ',
        coalesce(sub_account_id, 'Default'),
        ', key ',
        coalesce(api_key_id, 'none'),
        ', model ',
        coalesce(model, 'none'),
        case when gateway_key_id is not null then ', key ' || gateway_key_id || ' of the gateway' else '' end,
        case when gateway_team_id is not null then ', team ' || gateway_team_id || ' of the gateway' else '' end,
        ') on ',
        days_count,
        ' days from ',
        first_date,
        ' to ',
        last_date,
        '. It is unassigned: narrow one of them.'
    ) as detail
from concerned
