-- Days of the period of which a source that is waited for has more to say: it has stated them before they settle.
select
    coverage.usage_date,
    min(coverage.source || ' of ' || coverage.account) as first_source
from fct_source_coverage_daily as coverage
inner join dim_source as sources
    on
        coverage.source = sources.source
        and coverage.account = sources.account
        and coverage.dataset = sources.dataset
where
    coverage.usage_date >= $from_date
    and coverage.usage_date < $to_date
    and sources.is_waited_for
    and coverage.status in ('open', 'provisional')
group by coverage.usage_date
order by coverage.usage_date
