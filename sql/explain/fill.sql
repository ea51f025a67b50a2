-- What of each workload would fit on a deployment, as published, with its API price on the day.
select
    fills.*,
    verdicts.api_price_rc_per_mtok
from fct_idle_fill_daily as fills
left join fct_verdicts_daily as verdicts
    on fills.workload = verdicts.workload and fills.usage_date = verdicts.usage_date
where fills.deployment_id = $deployment and fills.usage_date = cast($usage_date as date)
order by fills.workload
