-- One row per usage_date, host, gpu_uuid, target, from_at.
-- Which replica of which deployment ran on which GPU, from when to when, and with what part of it.
-- partition: day, days apart
-- rows of: int_gpu_shares_interval
with
gpu_shares as (
    select * from int_gpu_shares_interval
),

engine_deployments as (
    select * from int_engine_deployments_daily
),

-- An address behind which two deployments answer has none of its own.
targets as (
    select
        usage_date,
        host,
        target,
        case
            when count(distinct deployment_id) = 1 and count(deployment_id) = count(*) then min(deployment_id)
        end as deployment_id
    from engine_deployments
    group by usage_date, host, target
),

final as (
    select
        gpu_shares.usage_date,
        gpu_shares.host,
        gpu_shares.gpu_uuid,
        gpu_shares.target,
        gpu_shares.from_at,
        gpu_shares.to_at,
        gpu_shares.replica_id,
        targets.deployment_id,
        gpu_shares.state,
        gpu_shares.gpu_method,
        gpu_shares.share_method,
        gpu_shares.share_ppm,
        gpu_shares.gpu_milliseconds
    from gpu_shares
    left join targets
        on
            gpu_shares.usage_date = targets.usage_date
            and gpu_shares.host = targets.host
            and gpu_shares.target = targets.target
)

select * from final
