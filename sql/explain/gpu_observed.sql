-- The time that samples cover on each chosen day, overlaps counted once, beside what the states of that day say.
with
hosts as (
    select distinct
        usage_date,
        host
    from chosen_gpu_costs
    where host is not null
),

intervals as (
    select
        hosts.usage_date,
        samples.host,
        samples.gpu_uuid,
        greatest(
            epoch_ms(samples.at) - least(samples.interval_ms, 900000), epoch_ms(cast(hosts.usage_date as timestamp))
        ) as from_ms,
        least(epoch_ms(samples.at), epoch_ms(cast(hosts.usage_date as timestamp)) + 86400000) as to_ms,
        samples.agent_start_id,
        samples.sequence_number
    from traced_nvml_spool__gpu_samples as samples
    inner join hosts
        on samples.host = hosts.host and samples.usage_date in (hosts.usage_date, hosts.usage_date - 1)
    where
        samples.interval_ms > 0
        and (
            samples.health != 'ok'
            or (
                samples.health = 'ok'
                and (
                    samples.util_gpu_pct is not null
                    or samples.sm_active_ppm is not null
                    or samples.compute_process_count is not null
                )
            )
        )
),

-- Of dcgm-exporter's samples those of hours in which no agent saw the GPU: hour by hour, as int_gpu_hours chooses.
kept_hours as (
    select
        samples.usage_date,
        coalesce(samples.node, samples.hostname, split_part(samples.instance, ':', 1), 'unknown') as host,
        samples.gpu_uuid,
        samples.replica as agent_start_id,
        samples.object_row as sequence_number,
        unnest(
            range(
                (epoch_ms(samples.at) - least(samples.interval_ms, 900000)) // 3600000,
                (epoch_ms(samples.at) - 1) // 3600000 + 1
            )
        ) as hour_number,
        epoch_ms(samples.at) - least(samples.interval_ms, 900000) as from_ms,
        epoch_ms(samples.at) as to_ms
    from traced_prometheus__gpu_samples as samples
    where
        samples.interval_ms > 0
        and (
            samples.util_gpu_pct is not null
            or samples.gr_engine_active_ppm is not null
            or samples.sm_active_ppm is not null
        )
),

agent_hours as (
    select distinct
        gpu_uuid,
        epoch_ms(usage_hour_at) // 3600000 as hour_number
    from stg_nvml_spool__gpu_hours
),

all_intervals as (
    select * from intervals
    union all by name
    select
        hosts.usage_date,
        kept_hours.host,
        kept_hours.gpu_uuid,
        greatest(
            kept_hours.from_ms, kept_hours.hour_number * 3600000, epoch_ms(cast(hosts.usage_date as timestamp))
        ) as from_ms,
        least(
            kept_hours.to_ms,
            (kept_hours.hour_number + 1) * 3600000,
            epoch_ms(cast(hosts.usage_date as timestamp)) + 86400000
        ) as to_ms,
        kept_hours.agent_start_id,
        kept_hours.sequence_number
    from kept_hours
    inner join hosts
        on kept_hours.host = hosts.host and kept_hours.usage_date in (hosts.usage_date, hosts.usage_date - 1)
    left join agent_hours
        on kept_hours.gpu_uuid = agent_hours.gpu_uuid and kept_hours.hour_number = agent_hours.hour_number
    where agent_hours.gpu_uuid is null
),

uncovered as (
    select
        *,
        greatest(
            from_ms,
            coalesce(
                max(to_ms) over (
                    partition by usage_date, host, gpu_uuid
                    order by from_ms, agent_start_id, sequence_number
                    rows between unbounded preceding and 1 preceding
                ),
                from_ms
            )
        ) as uncovered_from_ms
    from all_intervals
    where to_ms > from_ms
),

covered as (
    select
        usage_date,
        host,
        sum(greatest(to_ms - uncovered_from_ms, 0)) as sample_milliseconds
    from uncovered
    group by usage_date, host
),

observed as (
    select
        usage_date,
        host,
        sum(gpu_milliseconds) as state_milliseconds
    from int_gpu_observed_states_daily
    group by usage_date, host
)

select
    hosts.usage_date,
    hosts.host,
    covered.sample_milliseconds,
    observed.state_milliseconds
from hosts
left join covered
    on hosts.usage_date = covered.usage_date and hosts.host = covered.host
left join observed
    on hosts.usage_date = observed.usage_date and hosts.host = observed.host
order by hosts.usage_date, hosts.host
