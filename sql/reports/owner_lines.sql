-- What each owner cost in the period by who billed it, what it is known by, and measure: the rows of `owner_costs`,
-- line by line. Names in `past_names` are read as those in `present_names`. Money that is not converted stands in a row
-- of its own, in its own currency; a sum of which a charge has no amount is at least `known_cost_rc`.
with
charges as (
    select
        *,
        case $attribute when 'team' then team when 'cost_centre' then cost_centre else environment end as stated_owner,
        case
            when lane = 'gpu' and deployment_id is not null then deployment_id
            -- Of servers split by their pods one line a namespace, and not one a server.
            when lane = 'cloud' and namespace is not null then concat_ws('/', cluster, namespace)
            when lane != 'api' and resource_id is not null then resource_id
            when sub_account_id is not null then sub_account_id
            when api_key_id is not null then api_key_id
        end as known_as
    from fct_owner_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    coalesce(
        list_extract($present_names, list_position($past_names, stated_owner)), stated_owner
    ) as owner,
    lane,
    issuer,
    account,
    known_as,
    cost_measure,
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc,
    sum(realized_cost_rc) as known_cost_rc,
    sum(realized_cost) filter (where cost_status = 'unconverted') as unconverted_cost,
    case when cost_status = 'unconverted' then billing_currency end as unconverted_currency
from charges
group by owner, lane, issuer, account, known_as, cost_measure, unconverted_currency
order by
    owner nulls last, lane, issuer, account nulls last, known_as nulls last,
    case cost_measure when 'billed' then 1 when 'effective' then 2 else 3 end, unconverted_currency nulls first
