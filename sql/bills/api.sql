-- What the API exports among the files say: billed and metered, by model and token class, and the list price of the
-- tokens. `listed_tokens` are those that have a list price; a cost of no tokens keeps its own name.
select
    account,
    provider,
    model,
    charge_kind,
    coalesce(token_class, charge_kind) as charge_class,
    service_tier,
    billing_currency,
    min(usage_date) as from_date,
    max(usage_date) as last_date,
    cast(sum(tokens) as bigint) as tokens,
    cast(sum(tokens) filter (where list_cost_rc is not null) as bigint) as listed_tokens,
    cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
    cast(sum(billed_cost) filter (where list_cost_rc is not null) as decimal(38, 18)) as listed_billed_cost,
    cast(sum(list_cost_rc) as decimal(38, 18)) as list_cost_rc
from fct_api_costs_daily
group by all
order by all
