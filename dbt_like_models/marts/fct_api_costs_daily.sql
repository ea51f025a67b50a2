-- One row per usage_date, provider, issuer, account, sub_account_id, api_key_id, model, token_class, service_tier,
-- context_window, inference_geo, charge_kind, attribution, billing_currency, gateway_key_id, gateway_team_id.
-- What API usage cost, as billed, with the list price of the same tokens beside it and the workload it belongs to.
-- partition: month, days apart
with
costs as (
    select * from int_api_costs_allocated_daily
),

rates as (
    select * from int_fx_rates_daily
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
        case
            when costs.stated_list_cost is not null then 'bill'
            else list_prices.price_book || ' ' || list_prices.price_book_version
        end as list_price_source,
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
            and costs.gateway_key_id is not distinct from int_api_workloads_daily.gateway_key_id
            and costs.gateway_team_id is not distinct from int_api_workloads_daily.gateway_team_id
    left join list_prices
        on
            costs.provider = list_prices.provider
            and costs.model = list_prices.model
            and costs.token_class = list_prices.token_class
            and costs.price_mode = list_prices.mode
            -- The book prices no region apart, and one may cost more.
            and (costs.inference_geo is null or costs.inference_geo in ('global', 'not_available'))
            and costs.context_window is not distinct from list_prices.context_window
            and (list_prices.valid_from_date is null or costs.usage_date >= list_prices.valid_from_date)
            and (list_prices.valid_to_date is null or costs.usage_date < list_prices.valid_to_date)
),

in_quanta as (
    select
        *,
        case
            when coalesce(billing_currency != reporting_currency, true)
                then cast(replace(cast(abs(billed_cost) as varchar), '.', '') as hugeint)
        end as billed_quanta,
        case
            when coalesce(list_currency != reporting_currency, true)
                then cast(replace(cast(abs(list_cost) as varchar), '.', '') as hugeint)
        end as list_quanta
    from priced
),

-- Quanta of 10^-18 x multiplier / divisor, half away from zero, the remainder apart so that only what is too large to
-- be held overflows, and that stops the build.
converted as (
    select
        in_quanta.*,
        case
            when in_quanta.billing_currency = in_quanta.reporting_currency then in_quanta.billed_cost
            else
                case when in_quanta.billed_cost < 0 then -1 else 1 end
                * cast(
                    in_quanta.billed_quanta // rates.divisor * rates.multiplier
                    + (in_quanta.billed_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor)
                    // (rates.divisor * 2) as decimal(38, 0)
                )
                * cast('0.000000000000000001' as decimal(19, 18))
        end as billed_cost_rc,
        case
            when in_quanta.list_currency = in_quanta.reporting_currency then in_quanta.list_cost
            else
                case when in_quanta.list_cost < 0 then -1 else 1 end
                * cast(
                    in_quanta.list_quanta // list_rates.divisor * list_rates.multiplier
                    + (in_quanta.list_quanta % list_rates.divisor * list_rates.multiplier * 2 + list_rates.divisor)
                    // (list_rates.divisor * 2) as decimal(38, 0)
                )
                * cast('0.000000000000000001' as decimal(19, 18))
        end as list_cost_rc
    from in_quanta
    left join rates
        on in_quanta.usage_date = rates.usage_date and in_quanta.billing_currency = rates.currency
    left join rates as list_rates
        on in_quanta.usage_date = list_rates.usage_date and in_quanta.list_currency = list_rates.currency
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
        gateway_key_id,
        gateway_team_id,
        source,
        price_mode,
        team,
        coalesce(workload, 'unassigned') as workload,
        tokens_matched_by,
        class_split,
        tokens,
        web_search_request_count,
        billed_cost,
        billed_cost_rc,
        list_cost_rc,
        case when list_cost is not null then list_price_source end as list_price_source,
        case
            when billed_cost is not null and billed_cost_rc is null then 'unconverted'
            when charge_kind != 'tokens' then 'not_tokens'
            when list_cost is null then 'unpriced'
            when list_cost_rc is null then 'unconverted'
            else 'priced'
        end as price_status
    from converted
)

select * from final
