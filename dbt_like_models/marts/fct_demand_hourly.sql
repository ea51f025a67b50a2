-- One row per usage_date, usage_hour_at, workload, lane, model, token_class.
-- Tokens each workload used in each hour, by the lane that served them.
-- partition: month, days apart
with
final as (
    select
        usage_date,
        usage_hour_at,
        workload,
        'api' as lane,
        model,
        token_class,
        shape_from,
        tokens
    from int_api_tokens_hourly
    union all
    select
        usage_date,
        usage_hour_at,
        workload,
        'self_host' as lane,
        model,
        token_class,
        'meter' as shape_from,
        cast(sum(tokens) as bigint) as tokens
    from int_self_host_tokens_hourly
    group by all
)

select * from final
