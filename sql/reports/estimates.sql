-- What gateways think other people's bills come to in the period, by model: rated, never summed with a bill.
-- `is_billed`: whether the bill that it estimates has come.
with
billed as (
    select distinct
        provider,
        account
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and attribution != 'metered_only'
)

select
    estimates.estimating_account,
    estimates.issuer,
    estimates.model,
    estimates.billing_currency,
    count(billed.provider) > 0 as is_billed,
    sum(estimates.rated_cost) as rated_cost
from int_estimated_charges_daily as estimates
left join billed on estimates.issuer = billed.provider and estimates.account = billed.account
where estimates.usage_date >= $from_date and estimates.usage_date < $to_date
group by estimates.estimating_account, estimates.issuer, estimates.model, estimates.billing_currency
order by
    estimates.estimating_account asc, rated_cost desc nulls last, estimates.issuer asc, estimates.model asc nulls first,
    estimates.billing_currency asc
