-- What clouds billed for models that they host in the period, as two months are compared: one row an account, model,
-- token class, tier and currency, what is counted apart from what is not. Money without an amount or an exchange rate
-- is in no sum, and counted.
select
    account,
    'hosted models' as workload,
    case when token_class is null then 'other' else 'tokens' end as charge_kind,
    model,
    token_class,
    service_tier,
    context_window,
    inference_geo,
    billing_currency,
    tokens is not null as is_counted,
    sum(tokens) as quantity,
    sum(billed_cost) filter (where billed_cost_rc is not null) as own_cost,
    sum(billed_cost_rc) as cost_rc,
    count(*) filter (where billed_cost is null) as unrated_count,
    count(*) filter (where billed_cost is not null and billed_cost_rc is null) as unconverted_count
from fct_cloud_model_costs_daily
where usage_date >= $from_date and usage_date < $to_date
group by all
order by all
