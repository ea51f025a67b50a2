-- API money by what a workload's rules can name: how much belongs to no workload, how many workloads claim it.
with
said as (
    select
        provider,
        account,
        sub_account_id,
        api_key_id,
        model,
        billed_cost_rc,
        case when workload = 'unassigned' then billed_cost_rc end as unassigned_cost_rc,
        billed_cost is not null and billed_cost_rc is null as is_unconverted,
        0 as claiming_workload_count
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and attribution != 'metered_only'
    union all
    -- What is used and not billed is claimed too: a rule must not claim it twice.
    select
        provider,
        account,
        sub_account_id,
        api_key_id,
        model,
        cast(null as decimal(38, 18)) as billed_cost_rc,
        cast(null as decimal(38, 18)) as unassigned_cost_rc,
        false as is_unconverted,
        claiming_workload_count
    from int_api_workloads_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    provider,
    account,
    sub_account_id,
    api_key_id,
    model,
    sum(billed_cost_rc) as billed_cost_rc,
    sum(unassigned_cost_rc) as of_which_unassigned_cost_rc,
    bool_or(is_unconverted) as has_unconverted,
    max(claiming_workload_count) as claiming_workload_count
from said
group by provider, account, sub_account_id, api_key_id, model
order by provider, account, sub_account_id nulls first, api_key_id nulls first, model nulls first
