-- Services billed by use of which days in the period have no price, by why.
select
    per_use_service,
    status,
    reason,
    count(*) as days_count,
    case when count(*) = count(full_cost_rc) then cast(sum(full_cost_rc) as decimal(38, 18)) end as full_cost_rc
from fct_per_use_costs_daily
where usage_date >= $from_date and usage_date < $to_date and status != 'known'
group by per_use_service, status, reason
order by full_cost_rc desc nulls last, per_use_service asc, status asc, reason asc
