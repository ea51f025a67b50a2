-- What gateways among the files think that traffic cost, by model. Rated, never billed.
select
    account,
    provider,
    raw_model as model,
    billing_currency,
    cast(sum(rated_cost) as decimal(38, 18)) as rated_cost,
    case
        when count(request_count) = count(*) then cast(sum(request_count) as decimal(38, 18))
    end as requests_count
from stg_litellm_focus__estimates_daily
group by all
order by all
