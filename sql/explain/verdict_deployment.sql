-- A deployment as declared on a day.
select *
from config_deployments
where
    deployment_id = $deployment
    and cast($usage_date as date) >= coalesce(valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(valid_to_date, cast($usage_date as date) + 1)
