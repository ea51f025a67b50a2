-- What a workload was billed over the settled days in a currency without a rate: as long as there is any, its API price
-- is unknown.
select
    billing_currency,
    min(usage_date) as first_usage_date,
    max(usage_date) as last_usage_date,
    sum(billed_cost) as billed_cost
from fct_api_costs_daily
where
    workload = $workload
    and list_contains($days, usage_date)
    and billed_cost is not null
    and billed_cost_rc is null
group by billing_currency
order by billing_currency nulls last
