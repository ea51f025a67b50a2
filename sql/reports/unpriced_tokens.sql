-- Tokens of the period that have no list price: how they were bought, how many, and what was billed for them. They are
-- unpriced, not free.
select
    provider,
    account,
    model,
    token_class,
    service_tier,
    context_window,
    inference_geo,
    count(*) as rows_count,
    cast(sum(tokens) as bigint) as tokens,
    count(*) filter (where tokens is null) as rows_without_tokens_count,
    cast(sum(billed_cost_rc) as decimal(38, 18)) as billed_cost_rc
from fct_api_costs_daily
where
    usage_date >= $from_date
    and usage_date < $to_date
    and charge_kind = 'tokens'
    and list_cost_rc is null
    and price_status != 'priced'
group by provider, account, model, token_class, service_tier, context_window, inference_geo
order by provider, account, model, token_class, service_tier, context_window, inference_geo
