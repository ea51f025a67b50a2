-- One row per usage_date, host, gpu_uuid, boot_id, provider_resource_id, target, state.
-- Every observed GPU-millisecond of a day in exactly one state, as its hours tell it. They sum to what was observed,
-- and to nothing more.
-- partition: month, days apart
with
hourly_states as (
    select * from int_gpu_states_hourly
),

final as (
    select
        usage_date,
        host,
        gpu_uuid,
        boot_id,
        provider_resource_id,
        target,
        state,
        cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds
    from hourly_states
    group by usage_date, host, gpu_uuid, boot_id, provider_resource_id, target, state
)

select * from final
