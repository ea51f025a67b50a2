-- At which grain each workload's demand is known, behind its newest settled verdict of the period: days whose hours are
-- metered, a gateway's, or not known; and how much of a replica-hour may be filled so that peaks inside the hour fit.
with
newest as (
    select
        workload,
        max(usage_date) as usage_date
    from fct_verdicts_daily
    where status != 'not_settled' and usage_date >= $from_date and usage_date < $to_date
    group by workload
),

days as (
    select
        newest.workload,
        fct_demand_daily.usage_date,
        bool_or(fct_demand_daily.evidence = 'daily') as is_sum,
        bool_or(fct_demand_daily.evidence = 'gateway_shape') as is_shaped
    from fct_demand_daily
    inner join newest
        on
            fct_demand_daily.workload = newest.workload
            and fct_demand_daily.usage_date <= newest.usage_date
            and fct_demand_daily.usage_date > newest.usage_date - 28
    group by newest.workload, fct_demand_daily.usage_date
),

counted as (
    select
        workload,
        count(*) as demand_days_count,
        count(*) filter (where is_sum) as summed_days_count,
        count(*) filter (where is_shaped and not is_sum) as shaped_days_count
    from days
    group by workload
)

select
    newest.workload,
    newest.usage_date,
    counted.demand_days_count,
    counted.summed_days_count,
    counted.shaped_days_count,
    allowances.peak_allowance_ratio,
    allowances.peak_allowance_basis,
    allowances.measured_allowance_ratio,
    allowances.week_from_date,
    allowances.week_served_hours_count,
    allowances.week_minute_hours_count,
    allowances.reason as peak_allowance_reason
from newest
left join counted on newest.workload = counted.workload
left join fct_peak_allowances_daily as allowances
    on newest.workload = allowances.workload and newest.usage_date = allowances.usage_date
order by newest.workload
