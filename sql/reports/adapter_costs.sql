-- What each adapter of a deployment served and cost in the period, as gateways tell them apart; what they do not is in
-- lines of its own, by why. A cost of which a part is unknown is unknown (NULL).
with
parts as (
    select
        *,
        case when status = 'told' then coalesce(adapter, '(its own names)') else '(not told apart)' end as served_as
    from fct_adapter_tokens_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    deployment_id,
    served_as,
    status,
    count(distinct usage_date) as days_count,
    min(reason) as first_reason,
    cast(sum(tokens) as bigint) as tokens,
    case when count(*) = count(full_cost_rc) then cast(sum(full_cost_rc) as decimal(38, 18)) end as full_cost_rc
from parts
group by deployment_id, served_as, status
order by deployment_id asc, status desc, tokens desc, served_as asc
