-- What services of `per_use` cost on clouds' bills, by who sends the bill, account and measure. Money that is not
-- converted stands in a line of its own, in its own currency; a sum of which a charge has no amount is unknown (NULL).
with
charges as (
    select
        *,
        case when cost_status = 'unconverted' then billing_currency end as unconverted_currency
    from fct_owner_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and lane = 'cloud_per_use'
)

select
    issuer,
    account,
    cost_measure,
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc,
    sum(realized_cost) filter (where unconverted_currency is not null) as unconverted_cost,
    unconverted_currency
from charges
group by issuer, account, cost_measure, unconverted_currency
order by issuer, account nulls last, cost_measure, unconverted_currency nulls first
