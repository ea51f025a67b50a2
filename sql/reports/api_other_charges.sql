-- What API bills of a period charge beside the tokens of requests, by kind, workload, unit and currency. A unit cost
-- only where every line of the sum states its quantity.
with
charges as (
    select * from fct_api_other_charges_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    other_kind,
    workload,
    unit,
    billing_currency,
    cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
    case
        when count(billed_cost_per_unit) = count(*)
            then
                cast(sum(billed_cost) as double) / cast(sum(billed_quantity) as double)
                * max(quantity_per_unit)
    end as billed_cost_per_unit,
    count(distinct usage_date) as days_count
from charges
group by other_kind, workload, unit, quantity_unit, billing_currency
order by other_kind, workload, unit, quantity_unit, billing_currency
