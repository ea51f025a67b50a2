-- What GPUs cost by who sends the bill, account, kind of line and measure. A cost of which a part is unknown is
-- unknown (NULL).
with
costs as (
    select
        *,
        case when state in ('overhead', 'tax', 'credit') then state else 'gpu' end as line_kind
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    issuer,
    account,
    line_kind,
    cost_measure,
    billing_currency,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours,
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc
from costs
group by issuer, account, line_kind, cost_measure, billing_currency
order by issuer, account nulls last, line_kind, cost_measure, billing_currency nulls last
