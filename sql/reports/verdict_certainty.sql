-- Of each workload, how sure its newest verdict of the period is, and when its traffic will be across its break-even.
with
newest as (
    select
        workload,
        max(usage_date) as usage_date
    from fct_verdict_intervals_daily
    where usage_date >= $from_date and usage_date < $to_date
    group by workload
)

select
    intervals.*,
    forecasts.status as forecast_status,
    forecasts.reason as forecast_reason,
    forecasts.crosses_to,
    forecasts.p05_crosses_on_date,
    forecasts.p50_crosses_on_date,
    forecasts.p95_crosses_on_date,
    forecasts.crosses_within_30_days_probability_ratio,
    forecasts.is_watch
from newest
inner join fct_verdict_intervals_daily as intervals
    on newest.workload = intervals.workload and newest.usage_date = intervals.usage_date
left join fct_demand_forecasts_daily as forecasts
    on newest.workload = forecasts.workload and newest.usage_date = forecasts.usage_date
order by intervals.workload
