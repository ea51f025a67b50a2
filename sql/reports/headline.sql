-- The period in one row per lane and measure. Money that is not in the reporting currency is in `unknown_costs`.
select
    lane,
    cost_measure,
    sum(realized_cost_rc) as realized_cost_rc
from (
    select
        'api' as lane,
        'billed' as cost_measure,
        billed_cost_rc as realized_cost_rc
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and attribution <> 'metered_only'
    union all
    select
        'cloud_model' as lane,
        'billed' as cost_measure,
        billed_cost_rc as realized_cost_rc
    from fct_cloud_model_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
    union all
    select
        lane,
        cost_measure,
        realized_cost_rc
    from fct_owner_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and lane = 'cloud_per_use'
    union all
    select
        'self_host' as lane,
        cost_measure,
        realized_cost_rc
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
) as spent
group by lane, cost_measure
order by lane, cost_measure
