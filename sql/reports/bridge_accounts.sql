-- Accounts of which a bill is known for a day of the period: elsewhere no cost is not zero.
select
    coverage.account,
    count(distinct coverage.usage_date) as known_days_count
from fct_source_coverage_daily as coverage
left join dim_source as sources
    on coverage.source = sources.source and coverage.account = sources.account and coverage.dataset = sources.dataset
where
    coverage.usage_date >= $from_date
    and coverage.usage_date < $to_date
    and coverage.status != 'missing'
    -- A source that is configured no longer has no role, and its bills stand.
    and (sources.role is null or sources.role = 'book')
group by coverage.account
order by coverage.account
