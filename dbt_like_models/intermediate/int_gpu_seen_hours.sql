-- One row per usage_date, host, gpu_uuid, usage_hour_at.
-- What was seen of each GPU in each hour of a UTC day, whoever saw it. Midnight may bring two rows of one hour, and so
-- may a reboot: they add up where one ends before the other begins. Where two agents overlapped there, only the longer
-- counts: the rest is unobserved rather than counted twice.
-- partition: month, days apart
with
gpu_hours as (
    select * from int_gpu_hours
),

merged_hours as (
    select
        usage_date,
        host,
        gpu_uuid,
        usage_hour_at,
        max(boot_id) as boot_id,
        max(provider_resource_id) as provider_resource_id,
        sum(epoch_ms(last_observed_at) - epoch_ms(first_observed_at))
        <= epoch_ms(max(last_observed_at)) - epoch_ms(min(first_observed_at)) as is_disjoint,
        sum(observed_milliseconds) as sum_observed_ms,
        sum(healthy_milliseconds) as sum_healthy_ms,
        sum(held_milliseconds) as sum_held_ms,
        bool_or(sliced_milliseconds > 0) as is_sliced,
        sum(contradicted_milliseconds) as sum_contradicted_ms,
        sum(quiet_milliseconds) as sum_quiet_ms,
        sum(powered_milliseconds) as sum_powered_ms,
        sum(energy_microjoules) as sum_microjoules,
        max(observed_milliseconds) as max_observed_ms,
        max(healthy_milliseconds) as max_healthy_ms,
        max(held_milliseconds) as max_held_ms,
        max(contradicted_milliseconds) as max_contradicted_ms,
        max(quiet_milliseconds) as max_quiet_ms
    from gpu_hours
    group by usage_date, host, gpu_uuid, usage_hour_at
),

final as (
    select
        usage_date,
        host,
        gpu_uuid,
        usage_hour_at,
        boot_id,
        provider_resource_id,
        cast(case when is_disjoint then sum_observed_ms else max_observed_ms end as bigint) as observed_milliseconds,
        cast(case when is_disjoint then sum_healthy_ms else max_healthy_ms end as bigint) as healthy_milliseconds,
        cast(case when is_disjoint then sum_held_ms else max_held_ms end as bigint) as held_milliseconds,
        is_sliced,
        cast(case when is_disjoint then sum_contradicted_ms else max_contradicted_ms end as bigint)
            as contradicted_milliseconds,
        cast(case when is_disjoint then sum_quiet_ms else max_quiet_ms end as bigint) as quiet_milliseconds,
        -- A mean is one, however often it was told.
        cast(sum_microjoules // nullif(sum_powered_ms, 0) as bigint) as mean_power_milliwatts
    from merged_hours
)

select * from final
