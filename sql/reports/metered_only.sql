-- What APIs metered in the period on days of which their account has no bill: one row per day and cell, in tokens. What
-- is metered beside a bill and not on it cost nothing there.
with
days as (
    select
        *,
        count(billed_cost) over (partition by usage_date, provider, account) as billed_count
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    usage_date,
    provider,
    issuer,
    account,
    sub_account_id,
    api_key_id,
    gateway_key_id,
    gateway_team_id,
    workload,
    model,
    token_class,
    price_mode,
    context_window,
    inference_geo,
    cast(sum(tokens) as bigint) as tokens
from days
where billed_count = 0 and attribution = 'metered_only' and tokens > 0
group by all
order by all
