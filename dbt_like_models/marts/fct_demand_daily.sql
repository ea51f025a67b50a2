-- One row per usage_date, workload, lane, model, token_class.
-- Tokens each workload used on a day, by the lane that served them, and whether the hours behind the sum are known.
-- partition: month, days apart
with
final as (
    select
        usage_date,
        workload,
        'api' as lane,
        model,
        token_class,
        tokens,
        evidence
    from int_api_tokens_daily
    union all
    select
        usage_date,
        workload,
        'self_host' as lane,
        model,
        token_class,
        cast(sum(tokens) as bigint) as tokens,
        'hourly' as evidence
    from int_self_host_tokens_hourly
    group by all
)

select * from final
