-- Tokens that deployments served in the period, and on how many of their days nobody counted them.
select
    deployment_id,
    cast(sum(tokens) as bigint) as tokens,
    count(*) filter (where tokens is null) as uncounted_days_count
from fct_unit_costs_daily
where
    usage_date >= $from_date
    and usage_date < $to_date
    and lane = 'self_host'
    and token_class = 'blended'
    and deployment_id is not null
group by deployment_id
order by deployment_id
