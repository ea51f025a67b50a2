-- One row per usage_date.
-- How final a day is: the least of the sources that state days. Controls are not waited for, since no figure is made
-- from them, nor are invoices, which settle when they come.
-- partition: month
with
ranked as (
    select
        fct_source_coverage_daily.usage_date,
        fct_source_coverage_daily.is_blocked,
        case fct_source_coverage_daily.status
            when 'missing' then 1
            when 'open' then 2
            when 'provisional' then 3
            when 'settled' then 4
        end as status_rank
    from fct_source_coverage_daily
    left join config_sources
        on
            fct_source_coverage_daily.source = config_sources.source
            and fct_source_coverage_daily.account = config_sources.account
            and fct_source_coverage_daily.dataset = config_sources.dataset
    where coalesce(config_sources.role, 'book') != 'control' and coalesce(config_sources.settles_days, true)
),

least_status as (
    select
        usage_date,
        min(status_rank) as status_rank,
        count(*) as source_count,
        count(*) filter (where is_blocked) as blocked_count
    from ranked
    group by usage_date
),

final as (
    select
        calendar.usage_date,
        case
            when least_status.status_rank = 4 then 'settled'
            when least_status.status_rank = 3 then 'provisional'
            when least_status.status_rank = 2 then 'open'
            when not calendar.is_over then 'open'
            else 'missing'
        end as status,
        coalesce(least_status.source_count, 0) as source_count,
        coalesce(least_status.blocked_count, 0) as blocked_count
    from calendar
    left join least_status
        on calendar.usage_date = least_status.usage_date
)

select * from final
