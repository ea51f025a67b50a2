-- law: one_workload_per_cell
-- scope: account
-- partition: none
-- No two workloads claim the same API traffic. What two claim is `unassigned` until one rule is narrowed.
select
    'one_workload_per_cell' as law,
    'account:' || account as scope,
    concat(
        'Rules ',
        claiming_rules,
        ' claim the same traffic (sub-account ',
        coalesce(sub_account_id, 'Default'),
        ', key ',
        coalesce(api_key_id, 'none'),
        ', model ',
        coalesce(model, 'none'),
        ') on ',
        count(*),
        ' days from ',
        min(usage_date),
        ' to ',
        max(usage_date),
        '. It is unassigned: narrow one of them.'
    ) as detail
from int_api_workloads_daily
where claiming_workload_count > 1
group by provider, account, sub_account_id, api_key_id, model, claiming_rules
