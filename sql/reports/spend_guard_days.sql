-- Each settled day of a key's use of a model: what it came to at list prices, and what was billed.
with
settled as (
    select usage_date
    from fct_day_status_daily
    where status = 'settled' and blocked_count = 0
)

select
    costs.usage_date,
    costs.account,
    costs.sub_account_id,
    costs.api_key_id,
    costs.model,
    cast(sum(costs.list_cost_rc) as decimal(38, 18)) as list_cost_rc,
    cast(sum(costs.billed_cost_rc) as decimal(38, 18)) as billed_cost_rc
from fct_api_costs_daily as costs
inner join settled on costs.usage_date = settled.usage_date
where costs.usage_date >= $from_date and costs.usage_date < $to_date and costs.charge_kind = 'tokens'
group by costs.usage_date, costs.account, costs.sub_account_id, costs.api_key_id, costs.model
order by
    costs.usage_date asc,
    costs.account asc,
    costs.sub_account_id asc nulls first,
    costs.api_key_id asc nulls first,
    costs.model asc nulls first
