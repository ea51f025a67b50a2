-- What clouds billed for models that they host, by who sends the bill, account and model. Money that is not converted
-- stands in a line of its own, in its own currency; a sum of which a charge has no amount is unknown (NULL).
with
charges as (
    select
        *,
        case when billed_cost is not null and billed_cost_rc is null then billing_currency end as unconverted_currency
    from fct_cloud_model_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    issuer,
    account,
    model,
    case when count(tokens) > 0 then cast(sum(tokens) as bigint) end as tokens,
    count(*) filter (where tokens is null) as uncounted_count,
    case when count(*) = count(billed_cost_rc) then sum(billed_cost_rc) end as billed_cost_rc,
    sum(billed_cost) filter (where unconverted_currency is not null) as unconverted_cost,
    unconverted_currency
from charges
group by issuer, account, model, unconverted_currency
order by issuer, account nulls last, model nulls last, unconverted_currency nulls first
