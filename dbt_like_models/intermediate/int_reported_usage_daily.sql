-- One row per usage_date, account.
-- Days whose usage an issuer has said without a cost once they were over: what was said before is not all of a day.
-- partition: month
with
days as (
    select * from calendar
),

final as (
    select
        landed_coverage.usage_date,
        landed_coverage.account
    from landed_coverage
    inner join days
        on landed_coverage.usage_date = days.usage_date
    where landed_coverage.source = 'focus_usage'
    group by landed_coverage.usage_date, landed_coverage.account, days.day_end_at
    having max(landed_coverage.stated_at) >= days.day_end_at
)

select * from final
