-- What gateways among the files think that traffic cost, by model where they say it. Rated, never billed.
with
stated as (
    select
        account,
        provider,
        raw_model,
        billing_currency,
        rated_cost,
        request_count
    from stg_litellm_focus__estimates_daily
    union all
    select
        account,
        provider,
        cast(null as varchar) as raw_model,
        billing_currency,
        rated_cost,
        request_count
    from stg_litellm_activity__estimates_daily
)

select
    account,
    provider,
    raw_model as model,
    billing_currency,
    cast(sum(rated_cost) as decimal(38, 18)) as rated_cost,
    case
        when count(request_count) = count(*) then cast(sum(request_count) as decimal(38, 18))
    end as requests_count
from stated
group by all
order by all
