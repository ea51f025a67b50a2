-- One row per usage_date, source, account, dataset.
-- Whether a day's data is there and how final it is: open until the day's UTC end, settled once a complete delivery
-- stated at or after day end + the source's settle lag counts it, provisional in between, missing where none vouches.
-- partition: month, days apart
with
landed as (
    select
        landed_coverage.usage_date,
        landed_coverage.source,
        landed_coverage.account,
        landed_coverage.dataset,
        cast(sum(landed_coverage.row_count) as bigint) as row_count,
        -- A day may lie in several buckets (two invoices): it is as settled as its least recent statement.
        min(landed_coverage.stated_at) as stated_at,
        bool_or(landed_coverage.is_withdrawn and not landed_coverage.is_accepted) as is_blocked
    from landed_coverage
    where landed_coverage.is_complete
    group by all
),

expected as (
    select
        calendar.usage_date,
        int_source_first_days.source,
        int_source_first_days.account,
        int_source_first_days.dataset
    from calendar
    inner join int_source_first_days
        on calendar.usage_date >= int_source_first_days.first_usage_date
    -- An invoice comes when it comes, and a source taken out of breakeven.yaml is waited for no longer.
    inner join config_sources
        on
            int_source_first_days.source = config_sources.source
            and int_source_first_days.account = config_sources.account
            and int_source_first_days.dataset = config_sources.dataset
    where config_sources.settles_days
    union
    select
        landed.usage_date,
        landed.source,
        landed.account,
        landed.dataset
    from landed
),

days as (
    select
        expected.usage_date,
        expected.source,
        expected.account,
        expected.dataset,
        landed.row_count,
        landed.stated_at,
        coalesce(landed.is_blocked, false) as is_blocked,
        coalesce(calendar.is_over, false) as is_over,
        calendar.day_end_at + to_hours(coalesce(config_sources.settle_lag_hours, 24)) as settles_at
    from expected
    left join landed
        on
            expected.usage_date = landed.usage_date
            and expected.source = landed.source
            and expected.account = landed.account
            and expected.dataset = landed.dataset
    left join calendar
        on expected.usage_date = calendar.usage_date
    left join config_sources
        on
            expected.source = config_sources.source
            and expected.account = config_sources.account
            and expected.dataset = config_sources.dataset
),

final as (
    select
        usage_date,
        source,
        account,
        dataset,
        case
            when not is_over then 'open'
            when stated_at is null then 'missing'
            when stated_at >= settles_at then 'settled'
            else 'provisional'
        end as status,
        row_count,
        stated_at,
        is_blocked
    from days
)

select * from final
