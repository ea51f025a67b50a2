-- What the resamples of a verdict draw of each settled day and class: demand, and what was billed for how many tokens.
with
demand as (
    select
        usage_date,
        token_class,
        sum(tokens) as demand_tokens,
        coalesce(sum(tokens) filter (where lane = 'api'), 0) as of_which_api_tokens
    from fct_demand_daily
    where workload = $workload and list_contains($days, usage_date)
    group by usage_date, token_class
),

billed as (
    select
        usage_date,
        token_class,
        sum(tokens) as billed_tokens,
        sum(billed_cost_rc) as billed_cost_rc
    from fct_api_costs_daily
    where
        workload = $workload
        and list_contains($days, usage_date)
        and tokens != 0
        and billed_cost_rc is not null
        and token_class is not null
    group by usage_date, token_class
)

select
    coalesce(demand.usage_date, billed.usage_date) as usage_date,
    coalesce(demand.token_class, billed.token_class) as token_class,
    demand.demand_tokens,
    demand.of_which_api_tokens,
    billed.billed_tokens,
    billed.billed_cost_rc
from demand
full outer join billed
    on demand.usage_date = billed.usage_date and demand.token_class = billed.token_class
order by usage_date, token_class
