-- Each control beside its book of record by model, over the days on which both charge for the model: where they differ.
select
    issuer,
    account,
    book_source,
    control_source,
    control_account,
    model,
    billing_currency,
    count(distinct usage_date) as compared_days_count,
    sum(book_cost) as book_cost,
    sum(control_cost) as control_cost,
    sum(difference_cost) as difference_cost
from fct_control_differences_daily
where usage_date >= $from_date and usage_date < $to_date and status = 'compared'
group by issuer, account, book_source, control_source, control_account, model, billing_currency
having sum(difference_cost) != 0 and count(model) > 0
order by
    abs(sum(difference_cost)) desc, issuer asc, account asc, control_source asc, control_account asc,
    book_source asc, model asc, billing_currency asc
