-- What a file of business drivers says: how many values of each, and what they come to.
select
    account,
    driver,
    period,
    cast(sum(line_count) as bigint) as values_count,
    cast(sum(driver_quantity) as decimal(38, 18)) as driver_quantity
from stg_drivers_csv__values_daily
group by account, driver, period
order by account, driver, period
