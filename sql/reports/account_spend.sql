-- What each account cost in the period, where that is known: how much depends on its sources.
select
    account,
    sum(cost_rc) as cost_rc
from (
    select
        account,
        billed_cost_rc as cost_rc
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and attribution != 'metered_only'
    union all
    select
        account,
        realized_cost_rc as cost_rc
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
) as spent
where account is not null
group by account
order by account
