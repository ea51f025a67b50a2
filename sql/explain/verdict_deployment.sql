-- A deployment as declared on a day, with the share of its hours that a workload's peaks leave to be filled, and who
-- says so.
select
    config_deployments.* exclude (peak_allowance, is_peak_allowance_declared),
    coalesce(allowances.peak_allowance_ratio, config_deployments.peak_allowance) as peak_allowance,
    allowances.peak_allowance_basis,
    allowances.reason as peak_allowance_reason,
    allowances.measured_allowance_ratio,
    allowances.week_from_date as peak_week_from_date,
    allowances.week_served_hours_count as peak_week_served_hours_count,
    allowances.week_minute_hours_count as peak_week_minute_hours_count,
    allowances.p99_minute_to_hour_ppm,
    allowances.overflow_within_hours_ppm
from config_deployments
left join fct_peak_allowances_daily as allowances
    on
        allowances.usage_date = cast($usage_date as date)
        and allowances.workload = $workload
        and config_deployments.deployment_id = allowances.deployment_id
where
    config_deployments.deployment_id = $deployment
    and cast($usage_date as date) >= coalesce(config_deployments.valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(config_deployments.valid_to_date, cast($usage_date as date) + 1)
