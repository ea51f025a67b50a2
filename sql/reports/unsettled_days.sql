-- Days that are not settled, in runs of the same reason: not over yet, or which of the sources they wait for are not
-- there, can still change, or took money away.
with
unsettled as (
    select
        usage_date,
        status
    from fct_day_status_daily
    where usage_date >= $from_date and usage_date < $to_date and (status != 'settled' or blocked_count > 0)
),

waited_for as (
    select
        coverage.usage_date,
        concat(
            coverage.source, ' of ', coverage.account, ' is ',
            case when coverage.is_blocked then 'blocked' else coverage.status end
        ) as reason
    from fct_source_coverage_daily as coverage
    inner join dim_source as sources
        on
            coverage.source = sources.source
            and coverage.account = sources.account
            and coverage.dataset = sources.dataset
    where
        sources.is_waited_for
        and (coverage.status != 'settled' or coverage.is_blocked)
),

reasons as (
    select
        unsettled.usage_date,
        unsettled.status,
        case
            when unsettled.status = 'open' then 'not over yet'
            when count(waited_for.reason) = 0 then 'no source says anything of it'
            else string_agg(distinct waited_for.reason, ', ' order by waited_for.reason)
        end as reason
    from unsettled
    left join waited_for
        on unsettled.usage_date = waited_for.usage_date
    group by unsettled.usage_date, unsettled.status
),

numbered as (
    select
        *,
        usage_date - cast(
            row_number() over (partition by status, reason order by usage_date) as integer
        ) as run_start_date
    from reasons
)

select
    min(usage_date) as first_date,
    max(usage_date) as last_date,
    count(*) as days_count,
    status,
    reason
from numbered
group by status, reason, run_start_date
order by first_date
