-- Overheads in force on a day: a deployment's own, and those declared for none in particular.
select
    item,
    deployment_id,
    monthly_cost,
    currency
from config_overheads
where
    (deployment_id is null or deployment_id = $deployment)
    and cast($usage_date as date) >= coalesce(valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(valid_to_date, cast($usage_date as date) + 1)
order by item, deployment_id
