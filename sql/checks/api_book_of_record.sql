-- law: one_dollar_one_home
-- scope: account
-- partition: none
-- Per issuer, account and month exactly one billed dataset is the book of record; a control is never summed.
with
books as (
    select
        issuer,
        account,
        date_trunc('month', usage_date) as usage_month,
        string_agg(distinct source, ' and ' order by source) as sources,
        count(distinct source) as source_count
    from int_api_charges_daily
    where role = 'book'
    group by issuer, account, date_trunc('month', usage_date)
),

-- A declared bill is its account's own: beside its provider's it has another issuer, and both are summed.
twice as (
    select
        provider,
        account,
        date_trunc('month', usage_date) as usage_month,
        string_agg(distinct source, ' and ' order by source) as sources
    from int_api_charges_daily
    where is_book
    group by provider, account, date_trunc('month', usage_date)
    having count(distinct source) > 1 and count(distinct issuer) > 1
),

summed_controls as (
    select distinct
        fct_api_costs_daily.account,
        fct_api_costs_daily.source
    from fct_api_costs_daily
    inner join config_sources
        on
            fct_api_costs_daily.source = config_sources.source
            and fct_api_costs_daily.account = config_sources.account
    where fct_api_costs_daily.billed_cost is not null and config_sources.role = 'control'
)

select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(
        sources,
        ' are both the book of record of issuer ',
        issuer,
        ' in ',
        strftime(usage_month, '%Y-%m'),
        '. Only the finer one is summed: give the other `role: control` in breakeven.yaml.'
    ) as detail
from books
where source_count > 1
union all
select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(
        sources, ' both bill ', provider, ' to the account in ', strftime(usage_month, '%Y-%m'),
        '. Both are summed: give one of them `role: control` in breakeven.yaml, or an account of its own.'
    ) as detail
from twice
union all
select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(source, ' is a control, yet its amounts are in fct_api_costs_daily.') as detail
from summed_controls
