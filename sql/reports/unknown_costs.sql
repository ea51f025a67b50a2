-- Money and hours that are in no total in the reporting currency, each with the reason: they are listed, never zero.
with
unknown as (
    select
        usage_date,
        'api' as lane,
        issuer,
        account,
        'billed' as cost_measure,
        billing_currency,
        'unconverted' as reason,
        billed_cost as realized_cost,
        cast(null as bigint) as gpu_milliseconds
    from fct_api_costs_daily
    where
        usage_date >= $from_date
        and usage_date < $to_date
        and billed_cost is not null
        and billed_cost_rc is null
    union all
    select
        usage_date,
        'cloud_model' as lane,
        issuer,
        account,
        'billed' as cost_measure,
        billing_currency,
        case when billed_cost is null then 'no_amount' else 'unconverted' end as reason,
        billed_cost as realized_cost,
        cast(null as bigint) as gpu_milliseconds
    from fct_cloud_model_costs_daily
    where
        usage_date >= $from_date
        and usage_date < $to_date
        and billed_cost_rc is null
    union all
    select
        usage_date,
        lane,
        issuer,
        account,
        cost_measure,
        billing_currency,
        case when realized_cost is null then 'no_amount' else 'unconverted' end as reason,
        realized_cost,
        cast(null as bigint) as gpu_milliseconds
    from fct_owner_costs_daily
    where
        usage_date >= $from_date
        and usage_date < $to_date
        and lane = 'cloud_per_use'
        and realized_cost_rc is null
    union all
    select
        usage_date,
        'self_host' as lane,
        issuer,
        account,
        cost_measure,
        billing_currency,
        case when realized_cost is null then 'no_rate' else 'unconverted' end as reason,
        realized_cost,
        gpu_milliseconds
    from fct_gpu_costs_daily
    where
        usage_date >= $from_date
        and usage_date < $to_date
        and realized_cost_rc is null
)

select
    lane,
    issuer,
    account,
    cost_measure,
    billing_currency,
    reason,
    sum(realized_cost) as realized_cost,
    cast(sum(gpu_milliseconds) as double) / 3600000 as gpu_hours,
    min(usage_date) as first_usage_date,
    max(usage_date) as last_usage_date
from unknown
group by lane, issuer, account, cost_measure, billing_currency, reason
order by lane, issuer, account nulls last, cost_measure, billing_currency nulls last, reason
