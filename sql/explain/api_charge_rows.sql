-- The landed lines of the bills that belong to the chosen cells, as the build's own SQL takes each of them, with the
-- amount in its own spelling and by how many decimal places that is smaller than the currency's unit.
select
    chosen_cells.cell_number,
    lines.usage_date,
    lines.source,
    lines.account,
    lines.billing_currency,
    lines.stated_amount as amount,
    lines.decimal_places,
    lines.object_number,
    lines.object_row
from traced_int_api_charges_daily as lines
inner join chosen_cells
    on
        lines.usage_date = chosen_cells.usage_date
        and lines.source = chosen_cells.source
        and lines.account = chosen_cells.account
        and lines.charge_kind = chosen_cells.charge_kind
        and lines.sub_account_id is not distinct from chosen_cells.sub_account_id
        and lines.model is not distinct from chosen_cells.model
        and lines.token_class is not distinct from chosen_cells.token_class
        and lines.service_tier is not distinct from chosen_cells.service_tier
        and lines.context_window is not distinct from chosen_cells.context_window
        and lines.inference_geo is not distinct from chosen_cells.inference_geo
        and lines.billing_currency is not distinct from chosen_cells.billing_currency
        and lines.is_key_named = chosen_cells.is_key_named
        and (not chosen_cells.is_key_named or lines.api_key_id is not distinct from chosen_cells.direct_api_key_id)
order by lines.usage_date, lines.object_number, lines.object_row
