-- GPU time of each billed resource: how much of it belongs to no deployment, and what that part cost. A cost of which a
-- part has no price is unknown (NULL).
select
    issuer,
    resource_id,
    host,
    cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
    cast(sum(gpu_milliseconds) filter (where deployment_id is null) as bigint)
        as of_which_unassigned_gpu_milliseconds,
    case
        when count(*) filter (where deployment_id is null and realized_cost_rc is null) = 0
            then sum(realized_cost_rc) filter (where deployment_id is null)
    end as unassigned_cost_rc
from fct_gpu_costs_daily
where usage_date >= $from_date and usage_date < $to_date and gpu_milliseconds is not null
group by issuer, resource_id, host
order by issuer, resource_id nulls first, host nulls first
