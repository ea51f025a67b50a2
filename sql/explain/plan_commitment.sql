-- Who was billed what under the commitment of a deployment's workloads over the window: for tokens, and for all else.
select *
from fct_commitment_scopes_daily
where
    usage_date = cast($usage_date as date)
    and commitment in (
        select own.commitment
        from fct_commitment_scopes_daily as own
        where own.usage_date = cast($usage_date as date) and list_contains($workloads, own.workload)
    )
order by workload
