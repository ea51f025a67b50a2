-- Whose list prices stand beside what was billed, and what has none: by price book and its release.
select
    list_price_source,
    price_status,
    count(distinct model) as model_count,
    cast(sum(tokens) as bigint) as tokens,
    sum(billed_cost_rc) as billed_cost_rc,
    sum(list_cost_rc) as list_cost_rc
from fct_api_costs_daily
where usage_date >= $from_date and usage_date < $to_date and attribution != 'metered_only'
group by list_price_source, price_status
order by list_price_source nulls last, price_status
