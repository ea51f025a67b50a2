-- One row per usage_date, source, account, sub_account_id, api_key_id, model, charge_kind, token_class, service_tier,
-- context_window, inference_geo.
-- What every API metered on a day, in the same cells as the bills. A search is not billed per model, so its model and
-- the dimensions that belong to one are NULL here as they are on the bill.
-- partition: month
with
metered as (
    select
        usage_date,
        'anthropic' as provider,
        'anthropic_usage_api' as source,
        'messages_usage' as dataset,
        account,
        sub_account_id,
        api_key_id,
        charge_kind,
        token_class,
        tokens,
        web_search_request_count,
        case when charge_kind = 'tokens' then raw_model end as raw_model,
        case when charge_kind = 'tokens' then service_tier end as service_tier,
        case when charge_kind = 'tokens' then context_window end as context_window,
        case when charge_kind = 'tokens' then inference_geo end as inference_geo
    from stg_anthropic_usage_api__usage_hourly
),

final as (
    select
        metered.usage_date,
        metered.provider,
        coalesce(config_sources.issuer, metered.provider) as issuer,
        metered.source,
        metered.account,
        metered.sub_account_id,
        metered.api_key_id,
        int_api_model_names_daily.model,
        metered.charge_kind,
        metered.token_class,
        metered.service_tier,
        metered.context_window,
        metered.inference_geo,
        cast(sum(metered.tokens) as bigint) as tokens,
        cast(sum(metered.web_search_request_count) as bigint) as web_search_request_count
    from metered
    left join int_api_model_names_daily
        on
            metered.usage_date = int_api_model_names_daily.usage_date
            and metered.provider = int_api_model_names_daily.provider
            and metered.raw_model = int_api_model_names_daily.raw_model
    left join config_sources
        on
            metered.source = config_sources.source
            and metered.dataset = config_sources.dataset
            and metered.account = config_sources.account
    group by all
)

select * from final
