-- What controls state beside the book for the accounts and days of the chosen rows: of one model, or of whole accounts.
with
days as (
    select distinct
        usage_date,
        issuer,
        account
    from chosen_costs
)

select
    controls.control_source,
    controls.control_account,
    controls.control_measure,
    controls.account,
    controls.billing_currency,
    count(distinct controls.usage_date) as days_count,
    sum(controls.book_cost) as book_cost,
    sum(controls.control_cost) as control_cost,
    sum(controls.difference_cost) as difference_cost
from fct_control_differences_daily as controls
inner join days
    on
        controls.usage_date = days.usage_date
        and controls.issuer = days.issuer
        and controls.account = days.account
where controls.status = 'compared' and (cast($model as varchar) is null or controls.model = $model)
group by
    controls.control_source, controls.control_account, controls.control_measure, controls.account,
    controls.billing_currency
order by controls.control_source, controls.control_account, controls.account, controls.billing_currency
