-- Each metered hour of the day that is on and the one before, and of the same weekdays of four weeks before, at list
-- prices: a class of a model by what its tokens cost at list over the period. What has no such price is counted apart.
with
hours as (
    select
        usage_date,
        usage_hour_at,
        provider,
        account,
        sub_account_id,
        api_key_id,
        model,
        token_class,
        sum(tokens) as tokens
    from int_api_usage_hourly
    where
        usage_hour_at is not null
        and charge_kind = 'tokens'
        and usage_date >= $from_date
        and usage_date < $to_date
        and date_diff('day', usage_date, cast($to_date as date)) % 7 in (1, 2)
    group by usage_date, usage_hour_at, provider, account, sub_account_id, api_key_id, model, token_class
),

rates as (
    select
        provider,
        model,
        token_class,
        sum(list_cost_rc) as list_cost_rc,
        sum(tokens) as tokens
    from fct_api_costs_daily
    where list_cost_rc is not null and tokens > 0 and usage_date >= $from_date and usage_date < $to_date
    group by provider, model, token_class
)

select
    hours.usage_date,
    hours.usage_hour_at,
    hours.account,
    hours.sub_account_id,
    hours.api_key_id,
    hours.model,
    hours.token_class,
    cast(hours.tokens as bigint) as tokens,
    cast(rates.list_cost_rc as decimal(38, 18)) as rate_cost_rc,
    cast(rates.tokens as bigint) as rate_tokens
from hours
left join rates
    on
        hours.provider = rates.provider
        and hours.model = rates.model
        and hours.token_class = rates.token_class
order by
    hours.usage_hour_at asc,
    hours.account asc,
    hours.sub_account_id asc nulls first,
    hours.api_key_id asc nulls first,
    hours.model asc nulls first,
    hours.token_class asc nulls first
