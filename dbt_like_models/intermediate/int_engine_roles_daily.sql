-- One row per usage_date, host, target, model_name.
-- Engines of which one computes a prompt and another generates the answer: the prompt is counted by both, the answer's
-- first token too. Which is which: as declared, else as the engine or its labels say it, else as all counters of the
-- deployment show it: some engines answer with a token a request at most, others had most of their prompts' caches from
-- another process. Without one of each nothing is taken for a role, nor where the ones computed less than half of what
-- the others had from elsewhere: a cache outside of the engines transfers as well.
-- What is seen of one side alone is there once, and counts whole.
-- partition: month, days apart
-- rows of: int_engine_targets_daily
with
engines as (
    select
        targets.*,
        deployments.deployment_id
    from int_engine_targets_daily as targets
    inner join int_engine_deployments_daily as deployments
        on
            targets.usage_date = deployments.usage_date
            and targets.host = deployments.host
            and targets.target = deployments.target
            and targets.model_name = deployments.model_name
    where deployments.deployment_id is not null
),

declared as (
    select
        engines.usage_date,
        engines.host,
        engines.target,
        engines.model_name,
        case when count(distinct roles.engine_role) = 1 then min(roles.engine_role) end as engine_role
    from engines
    inner join config_deployment_roles as roles
        on
            engines.deployment_id = roles.deployment_id
            and roles.engine_name in (engines.host, engines.target, engines.pod_owner)
            and engines.usage_date >= coalesce(roles.valid_from_date, engines.usage_date)
            and engines.usage_date < coalesce(roles.valid_to_date, engines.usage_date + 1)
    group by engines.usage_date, engines.host, engines.target, engines.model_name
),

shown as (
    select
        engines.*,
        declared.engine_role as declared_role,
        coalesce(
            request_count > 0 and output_tokens <= request_count
            and 2 * coalesce(of_which_transferred_tokens, 0) <= prompt_tokens,
            false
        ) as is_like_prefill,
        coalesce(
            2 * of_which_transferred_tokens > prompt_tokens and output_tokens > request_count, false
        ) as is_like_decode
    from engines
    left join declared
        on
            engines.usage_date = declared.usage_date
            and engines.host = declared.host
            and engines.target = declared.target
            and engines.model_name = declared.model_name
),

weighed as (
    select
        *,
        coalesce(
            2 * sum(prompt_tokens) filter (where is_like_prefill) over deployment_day
            >= sum(of_which_transferred_tokens) filter (where is_like_decode) over deployment_day,
            false
        ) as has_both
    from shown
    window deployment_day as (partition by usage_date, deployment_id)
),

roles as (
    select
        *,
        case
            when declared_role is not null then 'declared'
            when engine_role is not null then 'stated'
            when has_both and is_like_prefill != is_like_decode then 'counted'
        end as role_method,
        case
            when declared_role is not null then declared_role
            when engine_role is not null then engine_role
            when has_both and is_like_prefill and not is_like_decode then 'prefill'
            when has_both and is_like_decode and not is_like_prefill then 'decode'
        end as known_role
    from weighed
),

paired as (
    select
        *,
        bool_or(known_role = 'prefill') over deployment_day as has_prefill,
        bool_or(known_role = 'decode') over deployment_day as has_decode
    from roles
    where known_role is not null
    window deployment_day as (partition by usage_date, deployment_id)
),

final as (
    select
        usage_date,
        host,
        target,
        model_name,
        deployment_id,
        known_role as engine_role,
        role_method,
        prompt_tokens,
        of_which_transferred_tokens,
        output_tokens,
        request_count,
        known_role = 'prefill' or not has_prefill as counts_prompts,
        known_role = 'decode' or not has_decode as counts_outputs
    from paired
)

select * from final
