-- law: gpu_deployment_is_one
-- scope: all
-- partition: none
-- An engine belongs to one deployment: two that declare the same served name, or the same host, leave its cost to none.
select
    'gpu_deployment_is_one' as law,
    'all' as scope,
    concat(
        usage_date, ' ', model_name, ' on ', host, ': meant by ', candidate_deployments,
        '. Give them different served_names or hosts.'
    ) as detail
from int_engine_deployments_daily
where method = 'ambiguous'
