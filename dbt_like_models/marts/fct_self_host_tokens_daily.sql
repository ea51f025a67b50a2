-- One row per usage_date, deployment_id, workload, model, token_class.
-- Tokens that our own engines served. 0 is watched and nothing served; no row is not watched.
-- partition: month
with
tokens_hourly as (
    select * from int_self_host_tokens_hourly
),

final as (
    select
        usage_date,
        deployment_id,
        workload,
        model,
        token_class,
        cast(sum(tokens) as bigint) as tokens,
        cast(sum(of_which_untimed_tokens) as bigint) as of_which_untimed_tokens
    from tokens_hourly
    group by usage_date, deployment_id, workload, model, token_class
)

select * from final
