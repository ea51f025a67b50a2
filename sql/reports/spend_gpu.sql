-- What GPUs cost by who sends the bill, account, kind of line and measure. Money that is not converted stands in a line
-- of its own, in its own currency; a cost of which a part has no price is unknown (NULL).
with
costs as (
    select
        *,
        case when state in ('overhead', 'tax', 'credit', 'per_use') then state else 'gpu' end as line_kind,
        case when realized_cost is not null and realized_cost_rc is null then billing_currency end
            as unconverted_currency
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
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc,
    sum(realized_cost) filter (where unconverted_currency is not null) as unconverted_cost,
    unconverted_currency
from costs
group by issuer, account, line_kind, cost_measure, billing_currency, unconverted_currency
order by
    issuer, account nulls last, line_kind, cost_measure, billing_currency nulls last, unconverted_currency nulls first
