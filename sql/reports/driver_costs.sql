-- What a unit of each driver cost, by the months that the days given touch and by their days, newest first.
select *
from fct_driver_costs_period
where
    (period = 'day' and period_from_date >= $from_date and period_from_date < $to_date)
    or (
        period = 'month'
        and period_from_date < $to_date
        and period_from_date + interval 1 month > $from_date
    )
order by
    period desc, period_from_date desc, driver asc, team asc nulls first, workload asc nulls first
