-- What GPUs cost in the period and how long they were paid for, as two months are compared: one row a deployment,
-- account, kind of line, measure and currency. Money without a price or an exchange rate is in no sum, and counted.
select
    deployment_id,
    issuer,
    account,
    case when state in ('overhead', 'tax', 'credit', 'per_use') then state else 'gpu' end as line_kind,
    cost_measure,
    billing_currency,
    cast(sum(gpu_milliseconds) filter (where state not in ('unobserved', 'conflict')) as bigint)
        as watched_gpu_milliseconds,
    cast(sum(gpu_milliseconds) filter (where state in ('unobserved', 'conflict')) as bigint)
        as unobserved_gpu_milliseconds,
    cast(sum(gpu_milliseconds) filter (where state = 'serving') as bigint) as serving_gpu_milliseconds,
    sum(realized_cost) filter (where realized_cost_rc is not null) as own_cost,
    sum(realized_cost_rc) as cost_rc,
    count(*) filter (where realized_cost is null) as unrated_count,
    count(*) filter (where realized_cost is not null and realized_cost_rc is null) as unconverted_count
from fct_gpu_costs_daily
where usage_date >= $from_date and usage_date < $to_date
group by all
order by all
