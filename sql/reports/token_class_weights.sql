-- What a token of each class weighs in the bill of each deployment, as its newest day of the period has it, and by what
-- that day's bill was really split.
with
weights as (
    select * from fct_token_class_weights_daily
    where usage_date >= $from_date and usage_date < $to_date
),

splits as (
    select
        usage_date,
        deployment_id,
        min(class_weight_method) as split_method
    from fct_unit_costs_daily
    where lane = 'self_host' and token_class != 'blended'
    group by usage_date, deployment_id
)

select
    weights.usage_date,
    weights.deployment_id,
    weights.token_class,
    coalesce(splits.split_method, 'none') as split_method,
    weights.gpu_seconds_per_mtok,
    weights.saturated_hours_count,
    weights.r_squared_ratio,
    weights.condition_ratio,
    weights.reason
from weights
left join splits
    on weights.usage_date = splits.usage_date and weights.deployment_id = splits.deployment_id
qualify weights.usage_date = max(weights.usage_date) over (partition by weights.deployment_id)
order by weights.deployment_id, weights.token_class
