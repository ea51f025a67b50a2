-- Billed beside rated: what the bill says of tokens, and what the metered tokens come to at list price, per day, model,
-- account, class and tier, on days on which an account metered anything. A Console bill rounds every line to a cent:
-- what its lines can have been before that is a range; a rating outside it differs. Billed and rated never add.
with
costs as (
    select *
    from int_api_costs_allocated_daily
    where usage_date >= $from_date and usage_date < $to_date and charge_kind = 'tokens'
),

metered_days as (
    select distinct
        usage_date,
        account
    from costs
    where tokens is not null
),

rated as (
    select
        costs.*,
        list_prices.currency as list_currency,
        case when costs.source = 'anthropic_console_csv' then 0.005 else 0 end as rounding_cost,
        cast(
            cast(costs.tokens as decimal(19, 0))
            * cast(cast(list_prices.list_cost_per_mtok as decimal(18, 12)) * 0.000001 as decimal(18, 18))
            as decimal(38, 18)
        ) as rated_cost
    from costs
    inner join metered_days
        on costs.usage_date = metered_days.usage_date and costs.account = metered_days.account
    left join list_prices
        on
            costs.provider = list_prices.provider
            and costs.model = list_prices.model
            and costs.token_class = list_prices.token_class
            and costs.price_mode = list_prices.mode
            and (costs.inference_geo is null or costs.inference_geo in ('global', 'not_available'))
            and costs.context_window is not distinct from list_prices.context_window
            and (list_prices.valid_from_date is null or costs.usage_date >= list_prices.valid_from_date)
            and (list_prices.valid_to_date is null or costs.usage_date < list_prices.valid_to_date)
),

-- A meter names keys by id where a Console bill names them by label: they meet where the key is left out.
summed as (
    select
        usage_date,
        provider,
        account,
        model,
        token_class,
        service_tier,
        coalesce(min(billing_currency), min(list_currency)) as billing_currency,
        count(distinct billing_currency) as currency_count,
        min(list_currency) as list_currency,
        sum(tokens) as tokens,
        sum(billed_cost) as billed_cost,
        case when count(rated_cost) = count(tokens) then sum(rated_cost) end as rated_cost,
        -- No charge was rounded up from a credit, and no credit from a charge.
        sum(
            case when billed_cost < 0 then billed_cost - rounding_cost else greatest(0, billed_cost - rounding_cost) end
        ) as billed_at_least_cost,
        sum(
            case when billed_cost < 0 then least(0, billed_cost + rounding_cost) else billed_cost + rounding_cost end
        ) as billed_at_most_cost
    from rated
    group by usage_date, provider, account, model, token_class, service_tier
),

final as (
    select
        usage_date,
        provider,
        account,
        model,
        token_class,
        service_tier,
        billing_currency,
        tokens,
        billed_cost,
        rated_cost,
        billed_at_least_cost,
        billed_at_most_cost,
        case
            when currency_count <= 1 and billing_currency = list_currency then billed_cost - rated_cost
        end as difference_cost
    from summed
)

select
    *,
    case
        when tokens is null then 'billed, not metered'
        when billed_cost is null then 'metered, not billed'
        when rated_cost is null then 'unpriced'
        when difference_cost is null then 'another currency'
        when rated_cost between billed_at_least_cost and billed_at_most_cost then 'agrees'
        else 'differs'
    end as status
from final
order by
    abs(difference_cost) desc nulls last,
    usage_date asc,
    provider asc,
    account asc,
    model asc nulls last,
    token_class asc nulls last,
    service_tier asc nulls last
