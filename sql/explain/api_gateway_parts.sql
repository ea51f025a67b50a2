-- The metered tokens of the chosen cells that a gateway's count has split, by the gateway's key and team.
with
geographies as (
    select
        usage_date,
        provider,
        account,
        sub_account_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        min(inference_geo) as inference_geo
    from int_api_charges_daily
    where is_book
    group by
        usage_date, provider, account, sub_account_id, model, charge_kind, token_class, service_tier, context_window
    having count(distinct inference_geo) = 1 and count(inference_geo) = count(*)
),

placed as (
    select parts.* replace (coalesce(parts.inference_geo, geographies.inference_geo) as inference_geo)
    from int_api_usage_parts_hourly as parts
    left join geographies
        on
            parts.usage_date = geographies.usage_date
            and parts.provider = geographies.provider
            and parts.account = geographies.account
            and parts.charge_kind = geographies.charge_kind
            and parts.sub_account_id is not distinct from geographies.sub_account_id
            and parts.model is not distinct from geographies.model
            and parts.token_class is not distinct from geographies.token_class
            and parts.service_tier is not distinct from geographies.service_tier
            and parts.context_window is not distinct from geographies.context_window
    where parts.is_split_by_gateway
)

select
    chosen_cells.cell_number,
    placed.api_key_id,
    placed.gateway_key_id,
    placed.gateway_team_id,
    cast(sum(placed.tokens) as bigint) as tokens
from placed
inner join chosen_cells
    on
        placed.usage_date = chosen_cells.usage_date
        and placed.provider = chosen_cells.provider
        and placed.account = chosen_cells.account
        and placed.charge_kind = chosen_cells.charge_kind
        and placed.sub_account_id is not distinct from chosen_cells.sub_account_id
        and placed.model is not distinct from chosen_cells.model
        and placed.token_class is not distinct from chosen_cells.token_class
        and placed.service_tier is not distinct from chosen_cells.service_tier
        and placed.context_window is not distinct from chosen_cells.context_window
        and placed.inference_geo is not distinct from chosen_cells.inference_geo
        and not chosen_cells.is_key_named
group by chosen_cells.cell_number, placed.api_key_id, placed.gateway_key_id, placed.gateway_team_id
order by all
