-- Each dataset: what it covers, up to when it is settled, which days that are over are not, and which lost their money.
with
days as (
    select
        source,
        account,
        dataset,
        max(usage_date) filter (where status = 'settled') as settled_to_date,
        list(usage_date order by usage_date) filter (where status in ('missing', 'provisional')) as unsettled_dates,
        list(usage_date order by usage_date) filter (where is_blocked) as blocked_dates
    from fct_source_coverage_daily
    group by source, account, dataset
)

select
    sources.source,
    sources.account,
    sources.dataset,
    sources.role,
    sources.is_waited_for,
    sources.first_usage_date,
    sources.last_usage_date,
    sources.silent_since_date,
    days.settled_to_date,
    days.unsettled_dates,
    days.blocked_dates
from dim_source as sources
left join days
    on sources.source = days.source and sources.account = days.account and sources.dataset = days.dataset
order by sources.source, sources.account, sources.dataset nulls last
