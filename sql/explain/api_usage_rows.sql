-- The landed usage counts that belong to the chosen cells, of every key of theirs. A count whose geography the report
-- leaves out belongs to the only one that the bill of its cell knows.
with
measures (charge_kind, token_class) as (
    values
    ('tokens', 'input_uncached'),
    ('tokens', 'input_cache_read'),
    ('tokens', 'input_cache_write_5m'),
    ('tokens', 'input_cache_write_1h'),
    ('tokens', 'output'),
    ('web_search', null)
),

counts as (
    select
        usage.usage_date,
        usage.account,
        usage.workspace_id as sub_account_id,
        usage.api_key_id,
        measures.charge_kind,
        cast(measures.token_class as varchar) as token_class,
        case when measures.charge_kind = 'tokens' then usage.model end as raw_model,
        case when measures.charge_kind = 'tokens' then usage.service_tier end as service_tier,
        case when measures.charge_kind = 'tokens' then usage.context_window end as context_window,
        case when measures.charge_kind = 'tokens' then usage.inference_geo end as inference_geo,
        case
            when measures.token_class = 'input_uncached' then usage.uncached_input_tokens
            when measures.token_class = 'input_cache_read' then usage.cache_read_input_tokens
            when measures.token_class = 'input_cache_write_5m' then usage.cache_creation_5m_input_tokens
            when measures.token_class = 'input_cache_write_1h' then usage.cache_creation_1h_input_tokens
            when measures.token_class = 'output' then usage.output_tokens
            else usage.web_search_requests
        end as metered_count,
        usage.object_number,
        usage.object_row
    from traced_anthropic_usage_api__usage as usage
    cross join measures
),

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

named as (
    select
        counts.* exclude (inference_geo),
        int_api_model_names_daily.model,
        coalesce(counts.inference_geo, geographies.inference_geo) as inference_geo
    from counts
    left join int_api_model_names_daily
        on
            counts.usage_date = int_api_model_names_daily.usage_date
            and counts.raw_model = int_api_model_names_daily.raw_model
            and int_api_model_names_daily.provider = 'anthropic'
    left join geographies
        on
            counts.usage_date = geographies.usage_date
            and geographies.provider = 'anthropic'
            and counts.account = geographies.account
            and counts.charge_kind = geographies.charge_kind
            and counts.sub_account_id is not distinct from geographies.sub_account_id
            and int_api_model_names_daily.model is not distinct from geographies.model
            and counts.token_class is not distinct from geographies.token_class
            and counts.service_tier is not distinct from geographies.service_tier
            and counts.context_window is not distinct from geographies.context_window
    where counts.metered_count != 0
)

select
    chosen_cells.cell_number,
    named.usage_date,
    named.account,
    named.sub_account_id,
    named.api_key_id,
    named.raw_model,
    named.charge_kind,
    named.token_class,
    named.metered_count,
    named.object_number,
    named.object_row
from named
inner join chosen_cells
    on
        named.usage_date = chosen_cells.usage_date
        and named.account = chosen_cells.account
        and named.charge_kind = chosen_cells.charge_kind
        and named.sub_account_id is not distinct from chosen_cells.sub_account_id
        and named.model is not distinct from chosen_cells.model
        and named.token_class is not distinct from chosen_cells.token_class
        and named.service_tier is not distinct from chosen_cells.service_tier
        and named.context_window is not distinct from chosen_cells.context_window
        and named.inference_geo is not distinct from chosen_cells.inference_geo
        and (not chosen_cells.is_key_named or named.api_key_id is not distinct from chosen_cells.direct_api_key_id)
order by named.usage_date, named.object_number, named.object_row, named.token_class
