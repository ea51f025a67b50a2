-- What nobody owns in the period, by what it could be recognised by, biggest first: `attribute` is team, cost_centre
-- or environment. Of an API that is its workspace or project, else its key, else the account; of a GPU its deployment,
-- else what is billed, else the account; of a cloud's other charges the namespace whose pods ran on a server, where
-- servers are split by them, else what is billed, else the division. The three measures stand apart.
with
charges as (
    select
        *,
        case
            when lane = 'gpu' and deployment_id is not null then 'deployment_id'
            when lane = 'cloud' and namespace is not null then 'namespace'
            when lane != 'api' and resource_id is not null then 'resource_id'
            when sub_account_id is not null then 'sub_account_id'
            when api_key_id is not null then 'api_key_id'
            else 'account'
        end as known_by
    from fct_owner_costs_daily
    where
        usage_date >= $from_date
        and usage_date < $to_date
        and case $attribute when 'team' then team when 'cost_centre' then cost_centre else environment end is null
)

select
    issuer,
    account,
    known_by,
    case known_by
        when 'sub_account_id' then sub_account_id
        when 'api_key_id' then api_key_id
        when 'deployment_id' then deployment_id
        when 'namespace' then namespace
        when 'resource_id' then resource_id
        else account
    end as known_as,
    case when known_by = 'namespace' then cluster end as cluster,
    sum(realized_cost_rc) filter (where cost_measure = 'billed') as billed_cost_rc,
    sum(realized_cost_rc) filter (where cost_measure = 'effective') as effective_cost_rc,
    sum(realized_cost_rc) filter (where cost_measure = 'accrued') as accrued_cost_rc,
    cast(sum(charge_count) as bigint) as charge_count,
    cast(sum(charge_count) filter (where cost_status != 'known') as bigint) as unknown_charge_count
from charges
group by issuer, account, known_by, known_as, cluster
order by
    abs(sum(realized_cost_rc)) desc nulls last, issuer asc, account asc nulls last, known_by asc, known_as asc,
    cluster asc nulls last
