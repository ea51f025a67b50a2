-- One row per usage_date, source, account, sub_account_id, api_key_id, model, charge_kind, token_class, service_tier,
-- context_window, inference_geo, billing_currency.
-- What every API bill charged, providers united, each charge said by one source. `is_book` marks the one dataset per
-- issuer, account and month that is summed; the others are controls.
-- partition: month
with
stated as (
    select
        usage_date,
        'anthropic' as provider,
        'anthropic_cost_api' as source,
        'cost_report' as dataset,
        1 as source_rank,
        account,
        sub_account_id,
        cast(null as varchar) as api_key_id,
        false as is_key_named,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        speed,
        billing_currency,
        billed_cost,
        cast(null as decimal(38, 18)) as stated_list_cost,
        cast(null as varchar) as class_split
    from stg_anthropic_cost_api__costs_daily
    union all
    select
        usage_date,
        'anthropic' as provider,
        'anthropic_console_csv' as source,
        'console_cost' as dataset,
        2 as source_rank,
        account,
        sub_account_id,
        api_key_id,
        true as is_key_named,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        speed,
        billing_currency,
        billed_cost,
        list_cost as stated_list_cost,
        cast(null as varchar) as class_split
    from stg_anthropic_console_csv__costs_daily
    union all
    select
        usage_date,
        'openai' as provider,
        'openai_costs_api' as source,
        'costs' as dataset,
        1 as source_rank,
        account,
        sub_account_id,
        cast(null as varchar) as api_key_id,
        false as is_key_named,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        speed,
        billing_currency,
        billed_cost,
        cast(null as decimal(38, 18)) as stated_list_cost,
        cast(null as varchar) as class_split
    from stg_openai_costs_api__costs_daily
    union all
    select
        usage_date,
        'openai' as provider,
        'openai_dashboard_csv' as source,
        'cost' as dataset,
        2 as source_rank,
        account,
        sub_account_id,
        cast(null as varchar) as api_key_id,
        false as is_key_named,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        speed,
        billing_currency,
        billed_cost,
        cast(null as decimal(38, 18)) as stated_list_cost,
        cast(null as varchar) as class_split
    from stg_openai_dashboard_csv__costs_daily
    union all
    select
        usage_date,
        provider,
        source,
        'bill' as dataset,
        1 as source_rank,
        account,
        sub_account_id,
        api_key_id,
        true as is_key_named,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        cast(null as varchar) as context_window,
        cast(null as varchar) as inference_geo,
        cast(null as varchar) as speed,
        billing_currency,
        billed_cost,
        cast(null as decimal(38, 18)) as stated_list_cost,
        class_split
    from stg_api_bills__charges_daily
),

owned as (
    select
        stated.* replace (
            case
                when stated.provider = 'openai' then int_openai_tiers_daily.cell_service_tier
                else stated.service_tier
            end as service_tier
        ),
        int_api_model_names_daily.model,
        coalesce(config_sources.issuer, stated.provider) as issuer,
        coalesce(config_sources.role, 'book') as role
    from stated
    left join int_api_model_names_daily
        on
            stated.usage_date = int_api_model_names_daily.usage_date
            and stated.provider = int_api_model_names_daily.provider
            and stated.raw_model = int_api_model_names_daily.raw_model
    left join int_openai_tiers_daily
        on
            stated.usage_date = int_openai_tiers_daily.usage_date
            and stated.sub_account_id is not distinct from int_openai_tiers_daily.sub_account_id
            and int_api_model_names_daily.model is not distinct from int_openai_tiers_daily.model
            and stated.service_tier = int_openai_tiers_daily.service_tier
            and stated.provider = 'openai'
    left join config_sources
        on
            stated.source = config_sources.source
            and stated.dataset = config_sources.dataset
            and stated.account = config_sources.account
),

-- Two books of one month are a configuration error that a check names; the finer one is summed, never both.
books as (
    select
        issuer,
        account,
        date_trunc('month', usage_date) as usage_month,
        min(source_rank) as book_rank
    from owned
    where role = 'book'
    group by all
),

final as (
    select
        owned.usage_date,
        owned.provider,
        owned.issuer,
        owned.source,
        owned.dataset,
        owned.role,
        coalesce(owned.role = 'book' and owned.source_rank = books.book_rank, false) as is_book,
        owned.account,
        owned.sub_account_id,
        owned.api_key_id,
        owned.is_key_named,
        owned.model,
        owned.charge_kind,
        owned.token_class,
        owned.service_tier,
        owned.context_window,
        owned.inference_geo,
        case
            when count(distinct coalesce(owned.speed, 'standard')) = 1 then min(coalesce(owned.speed, 'standard'))
            else 'mixed'
        end as speed,
        owned.billing_currency,
        cast(sum(owned.billed_cost) as decimal(38, 18)) as billed_cost,
        case
            when count(owned.stated_list_cost) = count(*) then cast(sum(owned.stated_list_cost) as decimal(38, 18))
        end as stated_list_cost,
        -- One amount that was split by count makes the cell's price one by count.
        max(owned.class_split) as class_split
    from owned
    left join books
        on
            owned.issuer = books.issuer
            and owned.account = books.account
            and date_trunc('month', owned.usage_date) = books.usage_month
    group by all
)

select * from final
