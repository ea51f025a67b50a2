-- What bills charge in the period for what may have been accrued: one row per day, lane, resource and cost centre. A
-- cloud's charges for a GPU stand with the GPU's.
select
    usage_date,
    case when lane = 'api' then 'api' else 'gpu' end as lane,
    issuer,
    account,
    case when lane != 'api' then resource_id end as resource_id,
    cost_centre,
    billing_currency,
    sum(realized_cost) as cost
from fct_owner_costs_daily
where
    usage_date >= $from_date
    and usage_date < $to_date
    and cost_measure = 'billed'
    and (lane = 'api' or resource_id is not null)
group by all
order by all
