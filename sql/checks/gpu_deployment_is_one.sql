-- law: gpu_deployment_is_one
-- scope: deployment
-- partition: month
-- An engine belongs to one deployment: two that declare the same served name, or the same host, leave its cost and its
-- tokens to none. Either is told too little, and what belongs to no deployment on that host too much.
with
ambiguous as (
    select
        *,
        unnest(string_split(candidate_deployments, ', ')) as candidate_deployment
    from int_engine_deployments_daily
    where method = 'ambiguous'
),

concerned as (
    select
        *,
        'deployment:' || candidate_deployment as scope
    from ambiguous
    union by name
    select
        *,
        'host:' || host as scope
    from int_engine_deployments_daily
    where method = 'ambiguous'
)

select distinct
    usage_date,
    'gpu_deployment_is_one' as law,
    scope,
    concat(
        usage_date, ' ', model_name, ' on ', host, ': meant by ', candidate_deployments,
        '. Give them different served_names or hosts.'
    ) as detail
from concerned
