-- The landed usage rows that belong to the chosen cells, of every key of theirs, as the build's own SQL takes each of
-- them. Usage whose geography the report leaves out belongs to the only one that the bill of its cell knows.
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
    select usage.* replace (coalesce(usage.inference_geo, geographies.inference_geo) as inference_geo)
    from traced_int_api_usage_daily as usage
    left join geographies
        on
            usage.usage_date = geographies.usage_date
            and usage.provider = geographies.provider
            and usage.account = geographies.account
            and usage.charge_kind = geographies.charge_kind
            and usage.sub_account_id is not distinct from geographies.sub_account_id
            and usage.model is not distinct from geographies.model
            and usage.token_class is not distinct from geographies.token_class
            and usage.service_tier is not distinct from geographies.service_tier
            and usage.context_window is not distinct from geographies.context_window
)

select
    chosen_cells.cell_number,
    placed.*
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
        and (not chosen_cells.is_key_named or placed.api_key_id is not distinct from chosen_cells.direct_api_key_id)
order by placed.usage_date, placed.object_number, placed.object_row, placed.token_class
