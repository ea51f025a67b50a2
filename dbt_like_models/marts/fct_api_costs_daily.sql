-- One row per usage_date, provider, issuer, account, sub_account_id, api_key_id, model, token_class, service_tier,
-- context_window, inference_geo, charge_kind, attribution, billing_currency.
-- What API usage cost, as billed, with the list price of the same tokens beside it and the workload it belongs to.
-- partition: month
with
costs as (
    select
        *,
        -- The only ways of buying a token that the price book knows; any other has no list price here.
        case
            when inference_geo not in ('global', 'not_available') then null
            when service_tier = 'batch' and coalesce(speed, 'standard') = 'standard' then 'batch'
            when service_tier = 'standard' and coalesce(speed, 'standard') = 'standard' then 'standard'
            when service_tier = 'standard' and speed = 'fast' then 'fast'
        end as price_mode
    from int_api_costs_allocated_daily
),

reporting as (
    select
        days.usage_date,
        min(config_company.reporting_currency) as reporting_currency
    from (select distinct usage_date from costs) as days
    inner join config_company
        on
            (config_company.valid_from_date is null or days.usage_date >= config_company.valid_from_date)
            and (config_company.valid_to_date is null or days.usage_date < config_company.valid_to_date)
    group by days.usage_date
    having count(distinct config_company.reporting_currency) = 1
),

priced as (
    select
        costs.*,
        reporting.reporting_currency,
        int_api_workloads_daily.workload,
        int_api_workloads_daily.team,
        case
            when costs.stated_list_cost is not null then costs.billing_currency
            else list_prices.currency
        end as list_currency,
        coalesce(
            costs.stated_list_cost,
            cast(
                cast(costs.tokens as decimal(19, 0))
                * cast(cast(list_prices.list_cost_per_mtok as decimal(18, 12)) * 0.000001 as decimal(18, 18))
                as decimal(38, 18)
            )
        ) as list_cost
    from costs
    left join reporting
        on costs.usage_date = reporting.usage_date
    left join int_api_workloads_daily
        on
            costs.usage_date = int_api_workloads_daily.usage_date
            and costs.provider = int_api_workloads_daily.provider
            and costs.account = int_api_workloads_daily.account
            and costs.sub_account_id is not distinct from int_api_workloads_daily.sub_account_id
            and costs.api_key_id is not distinct from int_api_workloads_daily.api_key_id
            and costs.model is not distinct from int_api_workloads_daily.model
    left join list_prices
        on
            costs.provider = list_prices.provider
            and costs.model = list_prices.model
            and costs.token_class = list_prices.token_class
            and costs.price_mode = list_prices.mode
            and costs.context_window is not distinct from list_prices.context_window
            and (list_prices.valid_from_date is null or costs.usage_date >= list_prices.valid_from_date)
            and (list_prices.valid_to_date is null or costs.usage_date < list_prices.valid_to_date)
),

final as (
    select
        usage_date,
        provider,
        issuer,
        account,
        sub_account_id,
        api_key_id,
        model,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        charge_kind,
        attribution,
        billing_currency,
        source,
        team,
        coalesce(workload, 'unassigned') as workload,
        tokens,
        web_search_request_count,
        billed_cost,
        case when billing_currency = reporting_currency then billed_cost end as billed_cost_rc,
        case when list_currency = reporting_currency then list_cost end as list_cost_rc,
        case
            when billed_cost is not null and coalesce(billing_currency != reporting_currency, true) then 'unconverted'
            when charge_kind != 'tokens' then 'not_tokens'
            when list_cost is null then 'unpriced'
            when coalesce(list_currency != reporting_currency, true) then 'unconverted'
            else 'priced'
        end as price_status
    from priced
)

select * from final
