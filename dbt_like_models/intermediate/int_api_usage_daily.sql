-- One row per usage_date, provider, issuer, account, sub_account_id, api_key_id, model, charge_kind, token_class,
-- service_tier, context_window, inference_geo.
-- What every API metered on a day, in the same cells as the bills.
-- partition: month, days apart
with
-- Each source once: the hours of a day would otherwise all have to be searched for other names.
by_source as (
    select
        usage_date,
        provider,
        issuer,
        account,
        sub_account_id,
        api_key_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        source,
        cast(sum(tokens) as bigint) as tokens,
        cast(sum(web_search_request_count) as bigint) as web_search_request_count
    from int_api_usage_hourly
    group by all
),

final as (
    select
        usage_date,
        provider,
        issuer,
        string_agg(source, '+' order by source) as source,
        account,
        sub_account_id,
        api_key_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        cast(sum(tokens) as bigint) as tokens,
        cast(sum(web_search_request_count) as bigint) as web_search_request_count
    from by_source
    group by all
)

select * from final
