-- Every mart row of the chosen cells, also of keys and workloads that the figure leaves out.
select
    chosen_cells.cell_number,
    chosen_costs.row_number,
    costs.usage_date,
    costs.api_key_id,
    costs.gateway_key_id,
    costs.gateway_team_id,
    costs.attribution,
    costs.tokens,
    costs.web_search_request_count,
    costs.billed_cost
from fct_api_costs_daily as costs
inner join chosen_cells
    on
        costs.usage_date = chosen_cells.usage_date
        and costs.source = chosen_cells.source
        and costs.account = chosen_cells.account
        and costs.charge_kind = chosen_cells.charge_kind
        and costs.sub_account_id is not distinct from chosen_cells.sub_account_id
        and costs.model is not distinct from chosen_cells.model
        and costs.token_class is not distinct from chosen_cells.token_class
        and costs.service_tier is not distinct from chosen_cells.service_tier
        and costs.context_window is not distinct from chosen_cells.context_window
        and costs.inference_geo is not distinct from chosen_cells.inference_geo
        and costs.billing_currency is not distinct from chosen_cells.billing_currency
        and (costs.attribution = 'direct') = chosen_cells.is_key_named
        and (not chosen_cells.is_key_named or costs.api_key_id is not distinct from chosen_cells.direct_api_key_id)
left join chosen_costs
    on
        costs.usage_date = chosen_costs.usage_date
        and costs.source = chosen_costs.source
        and costs.account = chosen_costs.account
        and costs.charge_kind = chosen_costs.charge_kind
        and costs.attribution = chosen_costs.attribution
        and costs.sub_account_id is not distinct from chosen_costs.sub_account_id
        and costs.api_key_id is not distinct from chosen_costs.api_key_id
        and costs.model is not distinct from chosen_costs.model
        and costs.token_class is not distinct from chosen_costs.token_class
        and costs.service_tier is not distinct from chosen_costs.service_tier
        and costs.context_window is not distinct from chosen_costs.context_window
        and costs.inference_geo is not distinct from chosen_costs.inference_geo
        and costs.billing_currency is not distinct from chosen_costs.billing_currency
        and costs.gateway_key_id is not distinct from chosen_costs.gateway_key_id
        and costs.gateway_team_id is not distinct from chosen_costs.gateway_team_id
order by chosen_cells.cell_number, costs.api_key_id, costs.gateway_key_id, costs.gateway_team_id
