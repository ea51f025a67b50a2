-- Runs of days that a source misses, or that lost the money they had.
with
gaps as (
    select
        source,
        account,
        dataset,
        usage_date,
        case when is_blocked then 'blocked' else status end as gap
    from fct_source_coverage_daily
    where
        usage_date >= $from_date
        and usage_date < $to_date
        and (status = 'missing' or is_blocked)
),

numbered as (
    select
        *,
        usage_date - cast(
            row_number() over (partition by source, account, dataset, gap order by usage_date) as integer
        ) as run_start_date
    from gaps
)

select
    source,
    account,
    dataset,
    gap,
    min(usage_date) as first_date,
    max(usage_date) as last_date,
    count(*) as days_count
from numbered
group by source, account, dataset, gap, run_start_date
order by source, account, dataset, first_date, gap
