-- The list prices in force that day of the API model a workload would buy.
select
    list_prices.token_class,
    list_prices.model,
    list_prices.list_cost_per_mtok,
    list_prices.currency
from list_prices
inner join config_workloads
    on list_prices.model = config_workloads.api_model
where
    config_workloads.workload = $workload
    and cast($usage_date as date) >= coalesce(config_workloads.valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(config_workloads.valid_to_date, cast($usage_date as date) + 1)
    and list_prices.mode = 'standard'
    and list_prices.context_window = '0-200k'
    and cast($usage_date as date) >= coalesce(list_prices.valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(list_prices.valid_to_date, cast($usage_date as date) + 1)
order by list_prices.token_class
