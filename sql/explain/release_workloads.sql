-- Tokens that a deployment served of each workload, and the API price of the workload's tokens on the day asked about.
with
served as (
    select
        workload,
        cast(sum(tokens) as bigint) as tokens
    from int_self_host_tokens_hourly
    where deployment_id = $deployment and list_contains($days, usage_date)
    group by workload
)

select
    served.workload,
    served.tokens,
    verdicts.api_price_rc_per_mtok
from served
left join fct_verdicts_daily as verdicts
    on served.workload = verdicts.workload and verdicts.usage_date = cast($usage_date as date)
where served.tokens > 0
order by served.workload
