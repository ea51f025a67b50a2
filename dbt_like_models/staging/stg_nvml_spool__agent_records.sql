-- One row per usage_date, agent_start_id, sequence_number.
-- What agents said about themselves: file headers, GPU inventory, MIG slices, XID errors, gaps with their reason,
-- lost records, torn lines.
-- partition: day, days apart
with
agent_records as (
    select * from landed_nvml_spool__agent_records
),

final as (
    select
        agent_records.usage_date,
        agent_records.host,
        agent_records.boot_id,
        agent_records.agent_start_id,
        agent_records.sequence_number,
        agent_records.at as recorded_at,
        agent_records.record as record_kind,
        agent_records.gpu_uuid,
        agent_records.interval_ms as interval_milliseconds,
        agent_records.provider_resource_id,
        agent_records.reason,
        agent_records.detail as detail_json
    from agent_records
)

select * from final
