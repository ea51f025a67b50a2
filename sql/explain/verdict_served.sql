-- What a deployment served in each hour of the settled days: for this workload, and for all.
select
    usage_hour_at,
    sum(tokens) as tokens,
    coalesce(sum(tokens) filter (where workload = $workload), 0) as own_tokens
from int_self_host_tokens_hourly
where deployment_id = $deployment and list_contains($days, usage_date)
group by usage_hour_at
order by usage_hour_at
