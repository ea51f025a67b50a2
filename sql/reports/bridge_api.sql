-- What each line of API bills bought in the period, as two months are compared: one row a workload, account, model,
-- token class, tier and currency, what is counted apart from what is not. Only what was billed. Money without an
-- exchange rate is in no sum, and counted.
with
counted as (
    select
        *,
        case
            when charge_kind = 'tokens' then tokens
            when charge_kind = 'web_search' then web_search_request_count
        end as quantity
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and attribution != 'metered_only'
)

select
    account,
    workload,
    charge_kind,
    model,
    token_class,
    service_tier,
    context_window,
    inference_geo,
    billing_currency,
    quantity is not null as is_counted,
    sum(quantity) as quantity,
    sum(billed_cost) filter (where billed_cost_rc is not null) as own_cost,
    sum(billed_cost_rc) as cost_rc,
    count(*) filter (where billed_cost_rc is null) as unconverted_count
from counted
group by all
order by all
