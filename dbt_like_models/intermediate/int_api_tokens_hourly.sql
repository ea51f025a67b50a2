-- One row per usage_date, usage_hour_at, workload, model, token_class.
-- Tokens the APIs metered by the hour, for each workload: the API half of hourly demand.
-- partition: month
with
metered as (
    select
        usage_date,
        usage_hour_at,
        'anthropic' as provider,
        account,
        sub_account_id,
        api_key_id,
        raw_model,
        token_class,
        tokens
    from stg_anthropic_usage_api__usage_hourly
    where charge_kind = 'tokens' and usage_hour_at is not null
),

named as (
    select
        metered.*,
        int_api_model_names_daily.model
    from metered
    left join int_api_model_names_daily
        on
            metered.usage_date = int_api_model_names_daily.usage_date
            and metered.provider = int_api_model_names_daily.provider
            and metered.raw_model = int_api_model_names_daily.raw_model
),

final as (
    select
        named.usage_date,
        named.usage_hour_at,
        int_api_workloads_daily.workload,
        named.model,
        named.token_class,
        cast(sum(named.tokens) as bigint) as tokens
    from named
    inner join int_api_workloads_daily
        on
            named.usage_date = int_api_workloads_daily.usage_date
            and named.provider = int_api_workloads_daily.provider
            and named.account = int_api_workloads_daily.account
            and named.sub_account_id is not distinct from int_api_workloads_daily.sub_account_id
            and named.api_key_id is not distinct from int_api_workloads_daily.api_key_id
            and named.model is not distinct from int_api_workloads_daily.model
    group by all
)

select * from final
