-- Telemetry that agents and a Prometheus both have: what each says of the same GPU-hours and engine processes.
select
    control_account,
    measure,
    unit,
    count(*) as compared_days_count,
    sum(compared_count) as compared_count,
    sum(book_quantity) as book_quantity,
    sum(control_quantity) as control_quantity,
    sum(difference_quantity) as difference_quantity
from fct_telemetry_differences_daily
where usage_date >= $from_date and usage_date < $to_date
group by control_account, measure, unit
order by control_account, measure
