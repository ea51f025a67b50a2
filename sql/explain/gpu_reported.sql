-- The landed rows whose hours are the quantity of the chosen accrued rows: what the issuer says was used of each
-- resource on each day, in GPU-hours.
with
chosen as (
    select distinct
        costs.usage_date,
        costs.issuer,
        costs.resource_id
    from int_gpu_resource_costs_daily as costs
    inner join chosen_gpu_costs
        on
            costs.usage_date = chosen_gpu_costs.usage_date
            and costs.issuer = chosen_gpu_costs.issuer
            and costs.resource_id = chosen_gpu_costs.resource_id
            and costs.cost_measure = chosen_gpu_costs.cost_measure
    where costs.accrual_basis = 'reported'
),

agreed as (
    select
        chosen.usage_date,
        chosen.issuer,
        chosen.resource_id,
        agreed_resources.gpu_count,
        count(distinct pool_hosts.host) as host_count
    from chosen
    inner join config_gpu_resources as agreed_resources
        on
            chosen.issuer = agreed_resources.issuer
            and chosen.resource_id = agreed_resources.resource_id
            and chosen.usage_date >= coalesce(agreed_resources.valid_from_date, chosen.usage_date)
            and chosen.usage_date < coalesce(agreed_resources.valid_to_date, chosen.usage_date + 1)
    left join config_gpu_pool_hosts as pool_hosts
        on
            chosen.issuer = pool_hosts.issuer
            and chosen.resource_id = pool_hosts.resource_id
            and chosen.usage_date >= coalesce(pool_hosts.valid_from_date, chosen.usage_date)
            and chosen.usage_date < coalesce(pool_hosts.valid_to_date, chosen.usage_date + 1)
    group by chosen.usage_date, chosen.issuer, chosen.resource_id, agreed_resources.gpu_count
)

select
    landed.usage_date,
    agreed.issuer,
    agreed.resource_id,
    landed.account,
    landed.billing_month_date,
    landed.is_gpu_time,
    landed.used_hours,
    cast(
        case
            when landed.is_gpu_time then landed.used_hours
            else landed.used_hours * (agreed.gpu_count // greatest(agreed.host_count, 1))
        end as decimal(38, 18)
    ) as reported_gpu_hours,
    landed.object_number,
    landed.object_row
from traced_stg_focus_usage__gpu_hours_daily as landed
inner join config_sources as sources
    on sources.source = 'focus_usage' and landed.account = sources.account
inner join agreed
    on
        landed.usage_date = agreed.usage_date
        and sources.issuer = agreed.issuer
        and landed.resource_id = agreed.resource_id
where sources.role is distinct from 'control'
order by landed.usage_date, landed.account, landed.object_number, landed.object_row
