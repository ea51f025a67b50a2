-- What the API cost by provider, account, model and team. Money that is not converted stands in a line of its own, in
-- its own currency; what is metered and on no bill has no cost and is counted apart.
with
costs as (
    select
        *,
        case when billed_cost is not null and billed_cost_rc is null then billing_currency end as unconverted_currency
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    provider,
    issuer,
    account,
    model,
    team,
    sum(tokens) filter (where attribution != 'metered_only') as tokens,
    case
        when count(billed_cost_rc) = count(*) filter (where attribution != 'metered_only') then sum(billed_cost_rc)
    end as billed_cost_rc,
    -- A search has no list price unless its bill states one.
    case
        when
            count(*) filter (
                where attribution != 'metered_only' and charge_kind = 'tokens' and list_cost_rc is null
            ) = 0
            then sum(list_cost_rc) filter (where attribution != 'metered_only')
    end as list_cost_rc,
    sum(billed_cost_rc) filter (where attribution = 'unattributed') as of_which_unattributed_cost_rc,
    sum(tokens) filter (where attribution = 'metered_only') as metered_only_tokens,
    sum(tokens) filter (where price_status = 'unpriced' and attribution != 'metered_only') as unpriced_tokens,
    sum(billed_cost) filter (where unconverted_currency is not null) as unconverted_cost,
    unconverted_currency
from costs
group by provider, issuer, account, model, team, unconverted_currency
order by
    provider asc, account asc, billed_cost_rc desc nulls last, model asc nulls last, team asc nulls last,
    unconverted_currency asc nulls first
