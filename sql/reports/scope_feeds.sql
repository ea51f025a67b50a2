-- Which account, issuer, host and workload each figure is made from: a law broken there refuses what it feeds, and no
-- other figure.
select distinct
    'api' as lane,
    provider,
    issuer,
    account,
    cast(null as varchar) as host,
    model,
    cast(null as varchar) as deployment_id,
    workload,
    team
from fct_api_costs_daily
where usage_date >= $from_date and usage_date < $to_date
union
select distinct
    'self_host' as lane,
    issuer as provider,
    issuer,
    account,
    host,
    cast(null as varchar) as model,
    deployment_id,
    cast(null as varchar) as workload,
    cast(null as varchar) as team
from fct_gpu_costs_daily
where usage_date >= $from_date and usage_date < $to_date
union
select distinct
    'self_host' as lane,
    cast(null as varchar) as provider,
    cast(null as varchar) as issuer,
    cast(null as varchar) as account,
    cast(null as varchar) as host,
    model,
    deployment_id,
    workload,
    cast(null as varchar) as team
from fct_self_host_tokens_daily
where usage_date >= $from_date and usage_date < $to_date
order by all
