-- Each control beside its book of record: what both state over the days on which they can be compared, the difference,
-- and how many other days only one of them covers.
select
    issuer,
    account,
    book_source,
    control_source,
    control_account,
    control_measure,
    billing_currency,
    count(distinct usage_date) filter (where status = 'compared') as compared_days_count,
    sum(book_cost) filter (where status = 'compared') as book_cost,
    sum(control_cost) filter (where status = 'compared') as control_cost,
    sum(difference_cost) as difference_cost,
    count(distinct usage_date) filter (where status = 'book_only') as book_only_days_count,
    count(distinct usage_date) filter (where status = 'control_only') as control_only_days_count,
    count(distinct usage_date) filter (where status = 'day_not_over') as not_over_days_count,
    count(distinct usage_date) filter (where status = 'other_currency') as other_currency_days_count,
    sum(control_cost) filter (where status = 'bill_not_named') as unnamed_bill_cost,
    sum(control_cost) filter (where status = 'billed_elsewhere') as billed_elsewhere_cost
from fct_control_differences_daily
where usage_date >= $from_date and usage_date < $to_date
group by issuer, account, book_source, control_source, control_account, control_measure, billing_currency
order by
    issuer asc nulls last, account asc nulls last, control_source asc, control_account asc, book_source asc nulls last,
    billing_currency asc
