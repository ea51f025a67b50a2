-- What bills say of tokens and what was metered of them, by day and cell, on days on which an account metered anything:
-- to be rated at a price. Keys are left out: a meter may name them otherwise than a bill. A Console bill rounds every
-- line to a cent, and of others the digits beyond a millionth are noise of somebody's arithmetic: what lines can have
-- been before that is a range.
with
costs as (
    select
        *,
        case when source = 'anthropic_console_csv' then 0.005 else 0.000001 end as rounding_cost
    from int_api_costs_allocated_daily
    where usage_date >= $from_date and usage_date < $to_date and charge_kind = 'tokens'
),

metered_accounts as (
    select distinct
        usage_date,
        provider,
        account
    from costs
    where tokens is not null
)

select
    costs.usage_date,
    costs.provider,
    costs.account,
    costs.model,
    costs.token_class,
    costs.service_tier,
    costs.price_mode,
    costs.context_window,
    costs.inference_geo,
    min(costs.billing_currency) as billing_currency,
    count(distinct costs.billing_currency) as currency_count,
    cast(sum(costs.tokens) as bigint) as tokens,
    sum(costs.billed_cost) as billed_cost,
    -- No charge was rounded up from a credit, and no credit from a charge.
    sum(
        case
            when costs.billed_cost < 0 then costs.billed_cost - costs.rounding_cost
            else greatest(0, costs.billed_cost - costs.rounding_cost)
        end
    ) as billed_at_least_cost,
    sum(
        case
            when costs.billed_cost < 0 then least(0, costs.billed_cost + costs.rounding_cost)
            else costs.billed_cost + costs.rounding_cost
        end
    ) as billed_at_most_cost
from costs
inner join metered_accounts
    on
        costs.usage_date = metered_accounts.usage_date
        and costs.provider = metered_accounts.provider
        and costs.account = metered_accounts.account
group by
    costs.usage_date,
    costs.provider,
    costs.account,
    costs.model,
    costs.token_class,
    costs.service_tier,
    costs.price_mode,
    costs.context_window,
    costs.inference_geo
order by all
