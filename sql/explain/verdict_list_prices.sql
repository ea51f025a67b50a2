-- The list prices in force that day of the API model a workload would buy; without one, and where no API meters or
-- bills it, of the comparator.
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
        case when config_workloads.api_model is null then 'comparator_list' else 'list' end as basis
    from config_workloads
    cross join on_an_api
    where
        config_workloads.workload = $workload
        and cast($usage_date as date) >= coalesce(config_workloads.valid_from_date, cast($usage_date as date))
        and cast($usage_date as date) < coalesce(config_workloads.valid_to_date, cast($usage_date as date) + 1)
)

select
    list_prices.token_class,
    list_prices.model,
    models.basis,
    list_prices.list_cost_per_mtok,
    list_prices.currency
from list_prices
inner join models
    on list_prices.model = models.model
where
    list_prices.mode = 'standard'
    and list_prices.context_window = '0-200k'
    and cast($usage_date as date) >= coalesce(list_prices.valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(list_prices.valid_to_date, cast($usage_date as date) + 1)
order by list_prices.token_class
