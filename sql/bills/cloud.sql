-- What the cloud bills among the files say, by service and category. The costs stay apart: they never add.
select
    account,
    coalesce(service, 'no service named') as service,
    charge_category,
    charge_class,
    billing_currency,
    cast(sum(line_count) as bigint) as lines_count,
    cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
    case when count(effective_cost) = count(*) then cast(sum(effective_cost) as decimal(38, 18)) end as effective_cost,
    case when count(list_cost) = count(*) then cast(sum(list_cost) as decimal(38, 18)) end as list_cost
from fct_cloud_charges_daily
group by all
order by all
