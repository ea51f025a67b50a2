-- One row per usage_date, usage_hour_at, source, account, activity, sub_account_id, api_key_id, model, charge_kind,
-- token_class, service_tier, context_window, inference_geo.
-- What every API metered, providers united, in the same cells as the bills: a dimension that the bill does not state is
-- NULL. A search is not billed per model, so its model and the dimensions that belong to one are NULL too.
-- An activity of a day is counted by one source: an export beside the API counts on days the API does not vouch for.
-- partition: day, days apart
with
stated as (
    select
        usage_date,
        usage_hour_at,
        'anthropic' as provider,
        'anthropic_usage_api' as source,
        account,
        'messages_usage' as activity,
        sub_account_id,
        api_key_id,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        tokens,
        web_search_request_count
    from stg_anthropic_usage_api__usage_hourly
    union all
    select
        usage_date,
        usage_hour_at,
        'openai' as provider,
        source,
        account,
        activity,
        sub_account_id,
        api_key_id,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        cast(null as varchar) as context_window,
        cast(null as varchar) as inference_geo,
        tokens,
        web_search_request_count
    from stg_openai__usage_hourly
    where charge_kind in ('tokens', 'web_search')
    union all
    select
        usage_date,
        cast(null as timestamp) as usage_hour_at,
        provider,
        source,
        account,
        'bill' as activity,
        sub_account_id,
        api_key_id,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        cast(null as varchar) as context_window,
        cast(null as varchar) as inference_geo,
        tokens,
        cast(null as bigint) as web_search_request_count
    from stg_api_bills__usage_daily
    union all
    select
        usage_date,
        usage_hour_at,
        'fireworks' as provider,
        'fireworks_costs' as source,
        account,
        'metrics' as activity,
        cast(null as varchar) as sub_account_id,
        cast(null as varchar) as api_key_id,
        raw_model,
        charge_kind,
        token_class,
        -- Serverless models are served in tiers of several prices, and the meter does not say which.
        cast(null as varchar) as service_tier,
        cast(null as varchar) as context_window,
        cast(null as varchar) as inference_geo,
        tokens,
        cast(null as bigint) as web_search_request_count
    from stg_fireworks_costs__usage_hourly
    where charge_kind = 'tokens'
),

counted as (
    select
        stated.*,
        coalesce(config_sources.issuer, stated.provider) as issuer
    from stated
    left join int_vouched_usage_daily
        on
            stated.usage_date = int_vouched_usage_daily.usage_date
            and stated.account = int_vouched_usage_daily.account
            and stated.activity = int_vouched_usage_daily.activity
    left join config_sources
        on
            stated.source = config_sources.source
            and stated.activity = config_sources.dataset
            and stated.account = config_sources.account
    where
        coalesce(config_sources.role, 'metered') != 'control'
        and (stated.source != 'openai_dashboard_csv' or int_vouched_usage_daily.activity is null)
),

final as (
    select
        counted.usage_date,
        counted.usage_hour_at,
        counted.provider,
        counted.issuer,
        counted.source,
        counted.account,
        counted.activity,
        counted.sub_account_id,
        counted.api_key_id,
        case when counted.charge_kind = 'tokens' then int_api_model_names_daily.model end as model,
        counted.charge_kind,
        counted.token_class,
        case
            when counted.charge_kind != 'tokens' then null
            when counted.provider = 'openai' then int_openai_tiers_daily.cell_service_tier
            else counted.service_tier
        end as service_tier,
        case when counted.charge_kind = 'tokens' then counted.context_window end as context_window,
        case when counted.charge_kind = 'tokens' then counted.inference_geo end as inference_geo,
        cast(sum(counted.tokens) as bigint) as tokens,
        cast(sum(counted.web_search_request_count) as bigint) as web_search_request_count
    from counted
    left join int_api_model_names_daily
        on
            counted.usage_date = int_api_model_names_daily.usage_date
            and counted.provider = int_api_model_names_daily.provider
            and counted.raw_model = int_api_model_names_daily.raw_model
    left join int_openai_tiers_daily
        on
            counted.usage_date = int_openai_tiers_daily.usage_date
            and counted.sub_account_id is not distinct from int_openai_tiers_daily.sub_account_id
            and int_api_model_names_daily.model is not distinct from int_openai_tiers_daily.model
            and counted.service_tier is not distinct from int_openai_tiers_daily.service_tier
            and counted.provider = 'openai'
    group by all
)

select * from final
