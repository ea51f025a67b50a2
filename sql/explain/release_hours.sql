-- What a deployment served in each hour of the days, by class. An hour without a row was not watched.
select
    usage_date,
    usage_hour_at,
    token_class,
    cast(sum(tokens) as bigint) as tokens
from int_self_host_tokens_hourly
where deployment_id = $deployment and list_contains($days, usage_date)
group by usage_date, usage_hour_at, token_class
order by usage_hour_at, token_class
