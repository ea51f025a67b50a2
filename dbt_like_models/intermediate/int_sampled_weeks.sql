-- One row per usage_date, deployment_id, workload.
-- The weeks that `demand: sampled_week` has named, as far as they were served and each of their days is settled.
-- partition: none
with
named as (
    select distinct
        workload,
        sampled_week_from_date
    from config_workloads
    where sampled_week_from_date is not null
),

settled as (
    select
        named.workload,
        named.sampled_week_from_date
    from named
    inner join fct_day_status_daily
        on
            named.sampled_week_from_date <= fct_day_status_daily.usage_date
            and named.sampled_week_from_date + 7 > fct_day_status_daily.usage_date
            and fct_day_status_daily.status = 'settled'
            and fct_day_status_daily.blocked_count = 0
    group by named.workload, named.sampled_week_from_date
    having count(*) = 7
),

final as (
    select
        peaks.usage_date,
        peaks.deployment_id,
        peaks.workload,
        peaks.week_from_date,
        peaks.served_hours_count,
        peaks.minute_hours_count,
        peaks.queued_hours_count,
        peaks.busy_hours_count,
        peaks.longest_gap_milliseconds,
        peaks.p99_minute_to_hour_ppm,
        peaks.overflow_within_hours_ppm
    from fct_demand_peaks_weekly as peaks
    inner join settled
        on
            peaks.workload = settled.workload
            and peaks.week_from_date = settled.sampled_week_from_date
)

select * from final
