-- What each owner cost in the period, by measure: `attribute` is team, cost_centre or environment; names in
-- `past_names` are read as those in `present_names`. What no rule gives an owner is a row without one. Money that is
-- not converted stands in a row of its own, in its own currency; a sum of which a charge has no amount is at least
-- `known_cost_rc`.
with
charges as (
    select
        *,
        case $attribute when 'team' then team when 'cost_centre' then cost_centre else environment end as stated_owner
    from fct_owner_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    coalesce(
        list_extract($present_names, list_position($past_names, stated_owner)), stated_owner
    ) as owner,
    cost_measure,
    cast(sum(charge_count) as bigint) as charge_count,
    case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as realized_cost_rc,
    sum(realized_cost_rc) as known_cost_rc,
    sum(realized_cost) filter (where cost_status = 'unconverted') as unconverted_cost,
    case when cost_status = 'unconverted' then billing_currency end as unconverted_currency
from charges
group by owner, cost_measure, unconverted_currency
order by
    owner nulls last,
    case cost_measure when 'billed' then 1 when 'effective' then 2 else 3 end,
    unconverted_currency nulls first
