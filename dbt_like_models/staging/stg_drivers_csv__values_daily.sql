-- One row per usage_date, account, period, driver, team, workload.
-- What somebody wrote down of customers, tasks, revenue: a value of a day, or of the month of the day that it names,
-- and then on the month's first day. Where two files state one differently, nobody knows it.
-- partition: month
with
stated as (
    select
        account,
        case when per = 'month' then cast(date_trunc('month', usage_date) as date) else usage_date end as usage_date,
        per as period,
        driver,
        team,
        workload,
        cast(value as decimal(38, 18)) as quantity
    from landed_drivers_csv__drivers
),

final as (
    select
        usage_date,
        account,
        period,
        driver,
        team,
        workload,
        case when count(distinct quantity) = 1 then min(quantity) end as driver_quantity,
        count(*) as line_count
    from stated
    group by usage_date, account, period, driver, team, workload
)

select * from final
