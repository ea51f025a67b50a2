-- GPU time and money of a deployment by day, and how much of the time nobody watched.
select
    usage_date,
    cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
    cast(coalesce(sum(gpu_milliseconds) filter (where state = 'unobserved'), 0) as bigint) as unobserved_milliseconds,
    cast(sum(realized_cost_rc) as decimal(38, 18)) as realized_cost_rc,
    count(*) filter (where realized_cost_rc is null) as unpriced_count
from fct_gpu_costs_daily
where deployment_id = $deployment and gpu_milliseconds > 0 and list_contains($days, usage_date)
group by usage_date
order by usage_date
