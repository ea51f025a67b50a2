-- Of each settled day and deployment what its GPUs cost, and what of it nothing needed: replicas too many, ready time
-- that could have been off, GPUs with nothing loaded. Money of each charge by the measure that is best known of it.
select
    waste.usage_date,
    waste.deployment_id,
    coalesce(
        sum(waste.gpu_milliseconds) filter (
            where waste.line in ('over_provisioned', 'scale_to_zero', 'unallocated')
        ),
        0
    ) as waste_gpu_milliseconds,
    cast(
        sum(waste.realized_cost_rc) filter (
            where waste.line in ('over_provisioned', 'scale_to_zero', 'unallocated')
        ) as decimal(38, 18)
    ) as waste_cost_rc,
    cast(sum(waste.realized_cost_rc) as decimal(38, 18)) as bill_cost_rc,
    count(*) - count(waste.realized_cost_rc) as unknown_count
from fct_gpu_waste_daily as waste
inner join fct_day_status_daily as days on waste.usage_date = days.usage_date
where
    days.status = 'settled'
    and days.blocked_count = 0
    and waste.usage_date >= $from_date
group by waste.usage_date, waste.deployment_id
order by waste.usage_date, waste.deployment_id nulls last
