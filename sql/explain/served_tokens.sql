-- What the marts say a deployment served on a day, by class and workload.
select
    usage_date,
    deployment_id,
    workload,
    token_class,
    model,
    tokens
from fct_self_host_tokens_daily
where deployment_id = $deployment and usage_date = cast($usage_date as date)
order by workload, token_class, model
