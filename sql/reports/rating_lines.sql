-- What bills say of tokens and what was metered of them, by day and cell, on settled days on which an account metered
-- anything: to be rated at a price. Keys are left out: a meter may name them otherwise than a bill. But where some of a
-- cell met its meter, what is billed of a key or workspace that nobody meters stands `apart`, and what is metered and
-- not billed too: a whole that is metered in part says nothing of its price. Nor do tokens that lines of several prices
-- share by their money, or that are billed in two currencies: `is_mixed`. A Console bill rounds every line to a cent,
-- and of others the digits beyond a millionth are noise of somebody's arithmetic: what lines can have been before that
-- is a range.
with
unsettled_days as (
    select distinct
        coverage.usage_date,
        coverage.account
    from fct_source_coverage_daily as coverage
    inner join dim_source as sources
        on
            coverage.source = sources.source
            and coverage.account = sources.account
            and coverage.dataset = sources.dataset
    where
        coverage.usage_date >= $from_date
        and coverage.usage_date < $to_date
        and sources.is_waited_for
        and (coverage.status in ('open', 'provisional') or coverage.is_blocked)
),

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
),

told as (
    select
        *,
        bool_or(billed_cost is not null and coalesce(tokens, 0) > 0) over cell as is_met,
        billed_cost is not null
        and (
            min(billing_currency) over cell is distinct from max(billing_currency) over cell
            or min(coalesce(price_mode, '')) over all_modes
            is distinct from max(coalesce(price_mode, '')) over all_modes
            or (
                bool_or(tokens_matched_by = 'account_day') over account_day
                and min(concat(context_window, '/', inference_geo)) over account_day
                is distinct from max(concat(context_window, '/', inference_geo)) over account_day
            )
        ) as is_mixed
    from costs
    window
        cell as (
            partition by
                usage_date, provider, account, model, token_class, service_tier, price_mode, context_window,
                inference_geo
        ),
        all_modes as (
            partition by
                usage_date, provider, account, model, token_class, service_tier, context_window, inference_geo,
                billed_cost is null
        ),
        account_day as (
            partition by
                usage_date, provider, account, model, token_class, service_tier, billed_cost is null
        )
),

lines as (
    select
        *,
        case
            when is_met and billed_cost != 0 and tokens is null then 'billed'
            when is_met and billed_cost is null and tokens > 0 then 'metered'
        end as apart
    from told
)

select
    lines.usage_date,
    lines.provider,
    lines.account,
    lines.model,
    lines.token_class,
    lines.service_tier,
    lines.price_mode,
    lines.context_window,
    lines.inference_geo,
    lines.apart,
    min(lines.billing_currency) as billing_currency,
    bool_or(lines.is_mixed) as is_mixed,
    cast(sum(lines.tokens) as bigint) as tokens,
    sum(lines.billed_cost) as billed_cost,
    -- No charge was rounded up from a credit, and no credit from a charge.
    sum(
        case
            when lines.billed_cost < 0 then lines.billed_cost - lines.rounding_cost
            else greatest(0, lines.billed_cost - lines.rounding_cost)
        end
    ) as billed_at_least_cost,
    sum(
        case
            when lines.billed_cost < 0 then least(0, lines.billed_cost + lines.rounding_cost)
            else lines.billed_cost + lines.rounding_cost
        end
    ) as billed_at_most_cost
from lines
inner join metered_accounts
    on
        lines.usage_date = metered_accounts.usage_date
        and lines.provider = metered_accounts.provider
        and lines.account = metered_accounts.account
left join unsettled_days
    on
        lines.usage_date = unsettled_days.usage_date
        and lines.account = unsettled_days.account
where unsettled_days.account is null
group by
    lines.usage_date,
    lines.provider,
    lines.account,
    lines.model,
    lines.token_class,
    lines.service_tier,
    lines.price_mode,
    lines.context_window,
    lines.inference_geo,
    lines.apart
order by all
