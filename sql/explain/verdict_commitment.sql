-- The contract in force that day with a commitment or a minimum that a workload's API traffic is under, or would be;
-- and what else than the workload's tokens was billed under it on the settled days; apart, what is billed for a period,
-- such as a shortfall. At most one row: several leave a verdict open, and so does
-- traffic elsewhere.
with
in_force as (
    select *
    from config_contracts
    where
        cast($usage_date as date) >= coalesce(valid_from_date, cast($usage_date as date))
        and cast($usage_date as date) < coalesce(valid_to_date, cast($usage_date as date) + 1)
),

bought as (
    select distinct
        provider,
        account
    from fct_api_costs_daily
    where workload = $workload and list_contains($days, usage_date)
),

models as (
    select coalesce(api_model, comparator_model) as model
    from config_workloads
    where
        workload = $workload
        and cast($usage_date as date) >= coalesce(valid_from_date, cast($usage_date as date))
        and cast($usage_date as date) < coalesce(valid_to_date, cast($usage_date as date) + 1)
),

-- Of several sellers the one with which a contract agrees the model's price that day, if it is only one.
agreed as (
    select min(prices.provider) as provider
    from api_prices as prices
    inner join models
        on prices.model = models.model
    where
        prices.price_basis = 'rate'
        and cast($usage_date as date) >= coalesce(prices.valid_from_date, cast($usage_date as date))
        and cast($usage_date as date) < coalesce(prices.valid_to_date, cast($usage_date as date) + 1)
    having count(distinct prices.provider) = 1
),

-- A workload that no API bills would buy its model.
would_buy as (
    select distinct
        prices.provider,
        cast(null as varchar) as account
    from api_prices as prices
    inner join models
        on prices.model = models.model
    where
        prices.provider = coalesce((select agreed.provider from agreed), prices.provider)
        and not exists (select 1 from bought)
),

united as (
    select * from bought
    union all
    select * from would_buy
),

scopes as (
    select distinct
        united.provider,
        (
            select min(own.account) from in_force as own
            where own.provider = united.provider and own.account = united.account
        ) as contract_account
    from united
),

others as (
    select
        costs.provider,
        (
            select min(own.account) from in_force as own
            where own.provider = costs.provider and own.account = costs.account
        ) as contract_account,
        sum(costs.billed_cost_rc) filter (where not (costs.charge_kind = 'other' and costs.model is null))
            as others_billed_cost_rc,
        sum(costs.billed_cost_rc) filter (where costs.charge_kind = 'other' and costs.model is null)
            as period_billed_cost_rc
    from fct_api_costs_daily as costs
    where
        (costs.workload != $workload or costs.tokens is null or costs.tokens = 0 or costs.token_class is null)
        and list_contains($days, costs.usage_date)
    group by all
)

select
    in_force.*,
    others.others_billed_cost_rc,
    others.period_billed_cost_rc,
    (
        select count(*) from scopes as elsewhere
        where elsewhere.provider != in_force.provider or elsewhere.contract_account is distinct from in_force.account
    ) as elsewhere_count
from in_force
inner join scopes
    on in_force.provider = scopes.provider and in_force.account is not distinct from scopes.contract_account
left join others
    on in_force.provider = others.provider and in_force.account is not distinct from others.contract_account
where in_force.commitment_cost > 0 or in_force.minimum_monthly_cost > 0
order by in_force.provider, in_force.account
