-- Workloads of which no message asks anything: with what is declared of quality their newest verdict advises otherwise,
-- or cannot be decided. The rule by which that verdict is not sure enough.
with
newest as (
    select
        usage_date,
        workload,
        movable_share_ratio is not null or tokens_per_api_token is not null as is_declared,
        quality_recommendation
    from fct_verdict_intervals_daily
    qualify usage_date = max(usage_date) over (partition by workload)
)

select newest.workload
from newest
inner join fct_verdicts_daily as verdicts
    on newest.usage_date = verdicts.usage_date and newest.workload = verdicts.workload
where newest.is_declared and newest.quality_recommendation is distinct from verdicts.recommendation
order by newest.workload
