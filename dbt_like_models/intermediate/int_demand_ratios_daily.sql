-- One row per usage_date, workload.
-- What the alert states fold of each verdict. They fold all of its history each morning: a table by the month, since
-- the verdicts of a year are as many files as days.
-- partition: month, days apart
with
verdicts as (
    select * from fct_verdicts_daily
),

final as (
    select
        usage_date,
        workload,
        status,
        current_lane,
        demand_ratio,
        breakeven_crossing_count,
        breakeven_first_tokens_per_day,
        deployment_id,
        window_days_count,
        demand_tokens_per_day,
        api_price_rc_per_mtok,
        api_committed_cost_rc,
        capacity_tokens_per_replica_hour,
        replica_cost_rc,
        fixed_cost_rc
    from verdicts
)

select * from final
