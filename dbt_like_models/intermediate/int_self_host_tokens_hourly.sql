-- One row per usage_date, usage_hour_at, deployment_id, workload, model, token_class.
-- Served tokens by deployment and workload: what demand and unit costs are made of. A prompt that one engine computes
-- for another, and the first token of its answer, are there once.
-- partition: month, days apart
with
engine_tokens as (
    select * from int_engine_tokens_hourly
),

workloads as (
    select * from int_self_host_workloads_daily
),

named as (
    select
        engine_tokens.usage_date,
        engine_tokens.usage_hour_at,
        workloads.deployment_id,
        coalesce(workloads.workload, 'unassigned') as workload,
        coalesce(workloads.model, engine_tokens.model_name) as model,
        engine_tokens.token_class,
        engine_tokens.tokens,
        engine_tokens.of_which_untimed_tokens
    from engine_tokens
    left join workloads
        on
            engine_tokens.usage_date = workloads.usage_date
            and engine_tokens.host = workloads.host
            and engine_tokens.target = workloads.target
            and engine_tokens.model_name = workloads.model_name
    left join int_engine_roles_daily as roles
        on
            engine_tokens.usage_date = roles.usage_date
            and engine_tokens.host = roles.host
            and engine_tokens.target = roles.target
            and engine_tokens.model_name = roles.model_name
    where
        roles.usage_date is null
        or case when engine_tokens.token_class = 'output' then roles.counts_outputs else roles.counts_prompts end
),

final as (
    select
        usage_date,
        usage_hour_at,
        deployment_id,
        workload,
        model,
        token_class,
        cast(sum(tokens) as bigint) as tokens,
        cast(sum(of_which_untimed_tokens) as bigint) as of_which_untimed_tokens
    from named
    group by usage_date, usage_hour_at, deployment_id, workload, model, token_class
)

select * from final
