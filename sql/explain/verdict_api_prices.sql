-- The prices in force that day of the API model a workload would buy; without one, and where no API meters or bills it,
-- of the comparator. Of the account that it is billed by, if that is one with a contract of its own.
with
on_an_api as (
    select count(*) > 0 as is_on_an_api
    from (
        select usage_date
        from fct_demand_daily
        where workload = $workload and lane = 'api' and tokens != 0 and list_contains($days, usage_date)
        union all
        select usage_date
        from fct_api_costs_daily
        where workload = $workload and list_contains($days, usage_date)
    ) as met
),

models as (
    select
        coalesce(
            config_workloads.api_model,
            case when not on_an_api.is_on_an_api then config_workloads.comparator_model end
        ) as model,
        case when config_workloads.api_model is null then 'comparator_' else '' end as compared
    from config_workloads
    cross join on_an_api
    where
        config_workloads.workload = $workload
        and cast($usage_date as date) >= coalesce(config_workloads.valid_from_date, cast($usage_date as date))
        and cast($usage_date as date) < coalesce(config_workloads.valid_to_date, cast($usage_date as date) + 1)
),

billed_by as (
    select case when count(distinct account) = 1 then min(account) end as account
    from fct_api_costs_daily
    where workload = $workload and list_contains($days, usage_date)
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
)

select
    prices.provider,
    prices.account,
    prices.token_class,
    prices.model,
    models.compared || prices.price_basis as basis,
    prices.cost_per_mtok,
    prices.list_cost_per_mtok,
    prices.currency,
    prices.price_source
from api_prices as prices
inner join models
    on prices.model = models.model
cross join billed_by
where
    prices.mode = 'standard'
    and prices.context_window = '0-200k'
    and prices.region is null
    and prices.provider = coalesce((select agreed.provider from agreed), prices.provider)
    and prices.account is not distinct from (
        select min(own.account)
        from api_prices as own
        where own.provider = prices.provider and own.account = billed_by.account
    )
    and cast($usage_date as date) >= coalesce(prices.valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(prices.valid_to_date, cast($usage_date as date) + 1)
order by prices.token_class, prices.provider
