-- The landed lines of both Anthropic bills that belong to the chosen cells, each with the amount in its own spelling
-- and by how many decimal places that is smaller than the currency's unit: the API states cents.
with
lines as (
    select
        usage_date,
        'anthropic_cost_api' as source,
        account,
        workspace_id as sub_account_id,
        cast(null as varchar) as api_key_id,
        model as raw_model,
        case
            when cost_type in ('tokens', 'web_search', 'code_execution') then cost_type
            else 'other'
        end as charge_kind,
        case when cost_type = 'tokens' then token_type end as raw_token_class,
        service_tier,
        context_window,
        inference_geo,
        currency as billing_currency,
        amount,
        2 as decimal_places,
        object_number,
        object_row
    from traced_anthropic_cost_api__costs
    union all
    select
        usage_date,
        'anthropic_console_csv' as source,
        account,
        nullif(nullif(workspace, ''), 'Default') as sub_account_id,
        coalesce(nullif(api_key_id, ''), nullif(api_key, '')) as api_key_id,
        nullif(model, '') as raw_model,
        case
            when cost_type = 'token' then 'tokens'
            when cost_type in ('web_search', 'code_execution') then cost_type
            else 'other'
        end as charge_kind,
        case when cost_type = 'token' then nullif(token_type, '') end as raw_token_class,
        case when usage_type = 'message' then 'standard' else nullif(usage_type, '') end as service_tier,
        case
            when context_window = '≤ 200k' then '0-200k'
            when context_window = '> 200k' then '200k-1M'
            else nullif(context_window, '')
        end as context_window,
        nullif(inference_geo, '') as inference_geo,
        'USD' as billing_currency,
        cost_usd as amount,
        0 as decimal_places,
        object_number,
        object_row
    from traced_anthropic_console_csv__costs
),

named as (
    select
        lines.*,
        coalesce(anthropic_token_classes.token_class, lines.raw_token_class) as token_class,
        int_api_model_names_daily.model
    from lines
    left join anthropic_token_classes
        on lines.raw_token_class = anthropic_token_classes.raw_name
    left join int_api_model_names_daily
        on
            lines.usage_date = int_api_model_names_daily.usage_date
            and lines.raw_model = int_api_model_names_daily.raw_model
            and int_api_model_names_daily.provider = 'anthropic'
)

select
    chosen_cells.cell_number,
    named.usage_date,
    named.source,
    named.account,
    named.sub_account_id,
    named.raw_model,
    named.billing_currency,
    named.amount,
    named.decimal_places,
    named.object_number,
    named.object_row
from named
inner join chosen_cells
    on
        named.usage_date = chosen_cells.usage_date
        and named.source = chosen_cells.source
        and named.account = chosen_cells.account
        and named.charge_kind = chosen_cells.charge_kind
        and named.sub_account_id is not distinct from chosen_cells.sub_account_id
        and named.model is not distinct from chosen_cells.model
        and named.token_class is not distinct from chosen_cells.token_class
        and named.service_tier is not distinct from chosen_cells.service_tier
        and named.context_window is not distinct from chosen_cells.context_window
        and named.inference_geo is not distinct from chosen_cells.inference_geo
        and named.billing_currency is not distinct from chosen_cells.billing_currency
        and (not chosen_cells.is_key_named or named.api_key_id is not distinct from chosen_cells.direct_api_key_id)
order by named.usage_date, named.object_number, named.object_row
