-- A workload's demand by settled day, class and lane.
select
    usage_date,
    lane,
    model,
    token_class,
    evidence,
    tokens
from fct_demand_daily
where workload = $workload and list_contains($days, usage_date)
order by usage_date, lane, model, token_class
