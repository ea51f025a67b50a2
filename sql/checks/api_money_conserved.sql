-- law: money_is_conserved
-- scope: account
-- partition: month, days apart
-- What the book of record's files say, added up from the vendor's own text when they were read, is what
-- fct_api_costs_daily holds. No SQL model stands between the two sums.
with
stated as (
    select
        landed_money.source,
        landed_money.account,
        landed_money.usage_date,
        landed_money.billing_currency,
        sum(landed_money.stated_amount) as stated_cost
    from landed_money
    left join config_sources
        on
            landed_money.source = config_sources.source
            and landed_money.dataset = config_sources.dataset
            and landed_money.account = config_sources.account
    where landed_money.home = 'api' and coalesce(config_sources.role, 'book') = 'book'
    group by landed_money.source, landed_money.account, landed_money.usage_date, landed_money.billing_currency
),

told as (
    select
        source,
        account,
        usage_date,
        billing_currency,
        sum(billed_cost) as told_cost
    from fct_api_costs_daily
    where billed_cost is not null
    group by source, account, usage_date, billing_currency
),

compared as (
    select
        coalesce(stated.account, told.account) as account,
        coalesce(stated.source, told.source) as source,
        coalesce(stated.usage_date, told.usage_date) as usage_date,
        coalesce(stated.billing_currency, told.billing_currency) as billing_currency,
        stated.stated_cost,
        told.told_cost
    from stated
    full outer join told
        on
            stated.source = told.source
            and stated.account = told.account
            and stated.usage_date = told.usage_date
            and stated.billing_currency is not distinct from told.billing_currency
)

select
    usage_date,
    'money_is_conserved' as law,
    'account:' || account as scope,
    concat(
        source,
        ' ',
        usage_date,
        ': the files say ',
        coalesce(cast(stated_cost as varchar), 'nothing'),
        ' ',
        billing_currency,
        ', fct_api_costs_daily holds ',
        coalesce(cast(told_cost as varchar), 'nothing'),
        '.'
    ) as detail
from compared
where stated_cost is distinct from told_cost
