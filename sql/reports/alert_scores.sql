-- What each deployment, and each workload on an API, cost and served on each settled day, in parts: what APIs billed of
-- workloads (with the deployment that their newest verdict names), what GPUs cost, what they served. A part of which an
-- amount is not known has no cost; what is metered and not on the account's bill of that day costs nothing. A workload
-- whose tokens nobody counts is in none of it: its cost would be that of the others' tokens.
with
settled as (
    select usage_date
    from fct_day_status_daily
    where status = 'settled' and blocked_count = 0
),

deployments as (
    select
        workload,
        deployment_id
    from fct_verdicts_daily
    qualify usage_date = max(usage_date) over (partition by workload)
),

billed as (
    select
        *,
        count(billed_cost) over (partition by usage_date, provider, account) as billed_count
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
),

parts as (
    select
        billed.usage_date,
        deployments.deployment_id,
        billed.workload,
        case
            when
                count(*) filter (
                    where
                    billed.billed_cost_rc is null
                    and (billed.billed_cost is not null or billed.billed_count = 0)
                ) = 0
                then cast(coalesce(sum(billed.billed_cost_rc), 0) as decimal(38, 18))
        end as cost_rc,
        cast(sum(billed.tokens) as bigint) as tokens
    from billed
    left join deployments on billed.workload = deployments.workload
    where billed.workload is not null
    group by billed.usage_date, deployments.deployment_id, billed.workload
    having count(billed.tokens) > 0
    union all
    select
        usage_date,
        deployment_id,
        cast(null as varchar) as workload,
        case when count(*) = count(realized_cost_rc) then cast(sum(realized_cost_rc) as decimal(38, 18)) end as cost_rc,
        cast(0 as bigint) as tokens
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and deployment_id is not null
    group by usage_date, deployment_id
    union all
    select
        usage_date,
        deployment_id,
        workload,
        cast(0 as decimal(38, 18)) as cost_rc,
        cast(sum(tokens) as bigint) as tokens
    from fct_self_host_tokens_daily
    where usage_date >= $from_date and usage_date < $to_date and deployment_id is not null
    group by usage_date, deployment_id, workload
)

select parts.*
from parts
inner join settled on parts.usage_date = settled.usage_date
order by parts.usage_date, parts.deployment_id nulls last, parts.workload nulls last, parts.tokens, parts.cost_rc
