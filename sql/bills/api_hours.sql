-- When the tokens were used: by the hour where the export says it, else (usage_hour_at NULL) by the day.
select
    account,
    provider,
    usage_date,
    usage_hour_at,
    cast(sum(tokens) as bigint) as tokens
from int_api_usage_hourly
where charge_kind = 'tokens'
group by all
order by all
