-- law: day_status_is_the_least
-- scope: all
-- partition: none
-- A day is never further along than one of the sources it waits for, nothing settles before it is over, and no day is
-- over before an earlier one.
with
ranks (status, status_rank) as (
    values
    ('missing', 1),
    ('open', 2),
    ('provisional', 3),
    ('settled', 4)
),

days as (
    select
        fct_day_status_daily.usage_date,
        fct_day_status_daily.status,
        ranks.status_rank
    from fct_day_status_daily
    left join ranks
        on fct_day_status_daily.status = ranks.status
),

sources as (
    select
        fct_source_coverage_daily.usage_date,
        fct_source_coverage_daily.source,
        fct_source_coverage_daily.account,
        fct_source_coverage_daily.status,
        ranks.status_rank
    from fct_source_coverage_daily
    left join ranks
        on fct_source_coverage_daily.status = ranks.status
    left join config_sources
        on
            fct_source_coverage_daily.source = config_sources.source
            and fct_source_coverage_daily.account = config_sources.account
            and fct_source_coverage_daily.dataset = config_sources.dataset
    where coalesce(config_sources.role, 'book') != 'control' and coalesce(config_sources.settles_days, true)
),

first_open as (
    select min(usage_date) as usage_date
    from days
    where status = 'open'
)

select
    'day_status_is_the_least' as law,
    'all' as scope,
    concat(
        days.usage_date, ' is ', days.status, ', but ', sources.source, ' of ', sources.account, ' is ',
        sources.status, '.'
    ) as detail
from days
inner join sources
    on days.usage_date = sources.usage_date
where days.status_rank > sources.status_rank
union all
select
    'day_status_is_the_least' as law,
    'all' as scope,
    concat(days.usage_date, ' is ', days.status, ' before it is over.') as detail
from days
inner join calendar
    on days.usage_date = calendar.usage_date
where days.status in ('provisional', 'settled') and not calendar.is_over
union all
select
    'day_status_is_the_least' as law,
    'all' as scope,
    concat(days.usage_date, ' is ', days.status, ', but ', first_open.usage_date, ' before it is open.') as detail
from days
inner join first_open
    on days.usage_date > first_open.usage_date
where days.status in ('provisional', 'settled')
