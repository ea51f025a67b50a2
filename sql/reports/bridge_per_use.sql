-- What services of `per_use` cost on clouds' bills in the period, as two months are compared: one row an account. Money
-- without an amount or an exchange rate is in no sum, and counted.
select
    account,
    'services billed by use' as workload,
    'other' as charge_kind,
    sum(realized_cost_rc) as cost_rc,
    count(*) filter (where realized_cost is null) as unrated_count,
    count(*) filter (where realized_cost is not null and realized_cost_rc is null) as unconverted_count
from fct_owner_costs_daily
where usage_date >= $from_date and usage_date < $to_date and lane = 'cloud_per_use'
group by account
order by account
