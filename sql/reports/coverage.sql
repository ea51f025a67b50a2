-- Each source: how many days of the period are settled, provisional, open or missing, and since when it is silent.
-- Invoices are of no day: `invoices` says up to when they have come.
select
    coverage.source,
    coverage.account,
    coverage.dataset,
    count(*) filter (where coverage.status = 'settled') as settled_days_count,
    count(*) filter (where coverage.status = 'provisional') as provisional_days_count,
    count(*) filter (where coverage.status = 'open') as open_days_count,
    count(*) filter (where coverage.status = 'missing') as missing_days_count,
    count(*) filter (where coverage.is_blocked) as blocked_days_count,
    max(sources.last_usage_date) as last_usage_date,
    max(sources.silent_since_date) as silent_since_date
from fct_source_coverage_daily as coverage
left join dim_source as sources
    on coverage.source = sources.source and coverage.account = sources.account and coverage.dataset = sources.dataset
where
    coverage.usage_date >= $from_date
    and coverage.usage_date < $to_date
    and not coalesce(sources.is_invoice, coverage.dataset = 'invoice')
group by all
order by coverage.source, coverage.account, coverage.dataset
