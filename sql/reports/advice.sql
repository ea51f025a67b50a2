-- What to do, in the order in which to do it: fill what is paid for, release what nothing needs, switch, buy; then what
-- is pinned to a lane, and its cost. Of each deployment and workload the newest settled day before the day given.
-- A release is what may go beside the filling. A refusal stays, without an amount. What one line saves is not what it
-- saves after another: they do not add up.
with
fills as (
    select *
    from fct_idle_fill_daily
    where usage_date < $to_date and status != 'unknown'
    qualify usage_date = max(usage_date) over (partition by deployment_id, workload)
),

releases as (
    select *
    from fct_scale_downs_daily
    where usage_date < $to_date and status != 'not_settled'
    qualify usage_date = max(usage_date) over (partition by deployment_id)
),

verdicts as (
    select *
    from fct_verdicts_daily
    where usage_date < $to_date and status != 'not_settled'
    qualify usage_date = max(usage_date) over (partition by workload)
),

beside as (
    select
        usage_date,
        deployment_id,
        min(release_beside_replica_count) as replica_count
    from fills
    where release_beside_replica_count is not null
    group by usage_date, deployment_id
),

counted_releases as (
    select
        releases.*,
        coalesce(beside.replica_count, releases.safe_release_replica_count) as released_count
    from releases
    left join beside
        on releases.usage_date = beside.usage_date and releases.deployment_id = beside.deployment_id
),

final as (
    select
        1 as order_number,
        'fill' as advice,
        usage_date,
        status,
        deployment_id,
        workload,
        cast(null as bigint) as replica_count,
        fit_tokens_per_day,
        avoided_rc_per_month as saving_rc_per_month,
        reason
    from fills
    where status in ('fits', 'pinned')
    union all
    select
        2 as order_number,
        'release' as advice,
        usage_date,
        status,
        deployment_id,
        cast(null as varchar) as workload,
        case when status = 'release' then released_count end as replica_count,
        cast(null as double) as fit_tokens_per_day,
        case when status = 'release' then cast(released_count * replica_rc_per_month as decimal(38, 18)) end
            as saving_rc_per_month,
        reason
    from counted_releases
    where status = 'refused' or (status = 'release' and released_count > 0)
    union all
    select
        case recommendation when 'switch_to_api' then 3 else 4 end as order_number,
        case recommendation when 'switch_to_api' then 'switch' else 'buy' end as advice,
        usage_date,
        status,
        deployment_id,
        workload,
        best_replica_count as replica_count,
        cast(null as double) as fit_tokens_per_day,
        saving_rc_per_month,
        reason
    from verdicts
    where recommendation in ('switch_to_api', 'switch_to_self_host')
    union all
    -- No advice: what it costs to keep it where it has to be stands in the reason.
    select
        5 as order_number,
        'keep' as advice,
        usage_date,
        status,
        deployment_id,
        workload,
        cast(null as bigint) as replica_count,
        cast(null as double) as fit_tokens_per_day,
        cast(null as decimal(38, 18)) as saving_rc_per_month,
        reason
    from verdicts
    where status = 'pinned'
)

select *
from final
order by order_number, deployment_id, workload
