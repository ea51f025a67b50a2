-- What AWS's split view says of servers, by the namespace whose pods ran on them, the part of the server that they used
-- and the unused part that is laid on them; and in rows of their own (part) what it leaves of the servers' own cost.
-- Money without a rate stands in rows of its own, in its own currency.
with
costs as (
    select
        *,
        case when effective_cost is not null and effective_cost_rc is null then billing_currency end
            as unconverted_currency
    from fct_container_costs_daily
    where is_book and usage_date >= $from_date and usage_date < $to_date
)

select
    part,
    cluster,
    namespace,
    count(distinct resource_id) as server_count,
    count(distinct container_id) as container_count,
    case when count(*) = count(split_cost_rc) then sum(split_cost_rc) end as split_cost_rc,
    case when count(*) = count(unused_cost_rc) then sum(unused_cost_rc) end as unused_cost_rc,
    case when count(*) = count(effective_cost_rc) then sum(effective_cost_rc) end as effective_cost_rc,
    sum(effective_cost) filter (where unconverted_currency is not null) as unconverted_cost,
    unconverted_currency
from costs
group by part, cluster, namespace, unconverted_currency
order by
    part asc, effective_cost_rc desc nulls last, cluster asc nulls last, namespace asc nulls last,
    unconverted_currency asc nulls first
