-- Hosts whose GPUs were seen and that no deployment declares: their GPU time by state, what their engines served, what
-- Kubernetes says made these, and what they cost where that is known. A price is of the days on which tokens were
-- counted; a cost of which a part is unknown is unknown (NULL). What a day costs is known once it is over: the day
-- under way counts only where a host was seen on no other.
with
seen as (
    select
        usage_date,
        host,
        count(distinct gpu_uuid) as gpu_count,
        min(provider_resource_id) as resource_id
    from int_gpu_sightings_daily
    where usage_date >= $from_date and usage_date < $to_date
    group by usage_date, host
),

states as (
    select
        usage_date,
        host,
        sum(case when state = 'serving' then gpu_milliseconds else 0 end) as serving_gpu_milliseconds,
        sum(case when state = 'serving' then 0 else gpu_milliseconds end) as other_gpu_milliseconds
    from int_gpu_observed_states_daily
    where usage_date >= $from_date and usage_date < $to_date
    group by usage_date, host
),

served as (
    select
        usage_date,
        host,
        string_agg(distinct model_name, ', ' order by model_name) as served_names,
        sum(tokens) as tokens
    from int_engine_tokens_hourly
    where usage_date >= $from_date and usage_date < $to_date
    group by usage_date, host
),

names as (
    select
        host,
        string_agg(distinct model_name, ', ' order by model_name) as served_names
    from int_engine_tokens_hourly
    where usage_date >= $from_date and usage_date < $to_date
    group by host
),

owners as (
    select
        host,
        string_agg(distinct pod_owner, ', ' order by pod_owner) as owners
    from int_engine_targets_daily
    where usage_date >= $from_date and usage_date < $to_date
    group by host
),

costs as (
    select
        usage_date,
        host,
        bool_or(deployment_id is not null) as is_declared,
        case when count(*) = count(realized_cost_rc) then sum(realized_cost_rc) end as cost_rc
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and host is not null
    group by usage_date, host
),

-- Of a pool no host has a cost of its own.
pooled as (
    select distinct
        usage_date,
        host
    from int_gpu_holdings_daily
    where usage_date >= $from_date and usage_date < $to_date and resource_id is not null
),

days as (
    select
        coalesce(statuses.status = 'open', false) as is_open,
        seen.usage_date,
        seen.host,
        seen.gpu_count,
        seen.resource_id,
        states.serving_gpu_milliseconds,
        states.other_gpu_milliseconds,
        served.tokens,
        costs.host is not null or pooled.host is not null as is_paid,
        coalesce(costs.is_declared, false) as is_declared,
        costs.cost_rc
    from seen
    left join states on seen.usage_date = states.usage_date and seen.host = states.host
    left join served on seen.usage_date = served.usage_date and seen.host = served.host
    left join costs on seen.usage_date = costs.usage_date and seen.host = costs.host
    left join pooled on seen.usage_date = pooled.usage_date and seen.host = pooled.host
    left join fct_day_status_daily as statuses on seen.usage_date = statuses.usage_date
),

counted_days as (
    select * from days
    qualify not is_open or bool_and(is_open) over (partition by host)
),

summed as (
    select
        host,
        max(gpu_count) as gpu_count,
        max(resource_id) as resource_id,
        min(usage_date) as first_seen_date,
        cast(sum(serving_gpu_milliseconds) as bigint) as serving_gpu_milliseconds,
        cast(sum(other_gpu_milliseconds) as bigint) as other_gpu_milliseconds,
        cast(sum(tokens) as bigint) as tokens,
        count(*) filter (where not is_paid) as unpaid_days_count,
        case when count(*) = count(cost_rc) then sum(cost_rc) end as cost_rc,
        case
            when count(tokens) = count(cost_rc) filter (where tokens is not null)
                then sum(cost_rc) filter (where tokens is not null)
        end as counted_cost_rc
    from counted_days
    group by host
    having not bool_or(is_declared)
)

select
    summed.host,
    coalesce(summed.resource_id, summed.host) as resource_id,
    summed.first_seen_date,
    names.served_names,
    owners.owners,
    summed.gpu_count,
    summed.serving_gpu_milliseconds,
    summed.other_gpu_milliseconds,
    summed.tokens,
    summed.unpaid_days_count,
    summed.cost_rc,
    case when summed.tokens > 0 then cast(summed.counted_cost_rc as double) * 1e6 / cast(summed.tokens as double) end
        as full_rc_per_mtok
from summed
left join names on summed.host = names.host
left join owners on summed.host = owners.host
order by summed.host
