-- One row per source, account, dataset.
-- The first day anything was delivered for: from then on, a day without a delivery is missing. Earlier days are not
-- waited for. (No last day here: it would change daily, and with it every month that reads this.)
-- partition: none
with
final as (
    select
        source,
        account,
        dataset,
        min(usage_date) as first_usage_date
    from landed_coverage
    where is_complete
    group by all
)

select * from final
