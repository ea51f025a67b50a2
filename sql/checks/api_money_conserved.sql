-- law: money_is_conserved
-- scope: account
-- partition: none
-- What the book of record's files say, added up here from the vendor's own text, is what fct_api_costs_daily holds.
with
stated as (
    select
        'anthropic_cost_api' as source,
        account,
        usage_date,
        currency as billing_currency,
        amount,
        100 as units_per_currency
    from landed_anthropic_cost_api__costs
    union all
    select
        'anthropic_console_csv' as source,
        account,
        usage_date,
        'USD' as billing_currency,
        cost_usd as amount,
        1 as units_per_currency
    from landed_anthropic_console_csv__costs
),

landed as (
    select
        source,
        account,
        usage_date,
        billing_currency,
        units_per_currency,
        sum(
            -- Text to a wide decimal is 200 times slower than to a narrow one.
            case
                when regexp_full_match(amount, '-?[0-9]{1,9}([.][0-9]{0,8})?')
                    then cast(cast(amount as decimal(18, 8)) as decimal(38, 18))
                else cast(amount as decimal(38, 18))
            end
        ) as stated_amount
    from stated
    group by source, account, usage_date, billing_currency, units_per_currency
),

books as (
    select landed.*
    from landed
    left join config_sources
        on
            landed.source = config_sources.source
            and landed.account = config_sources.account
    where coalesce(config_sources.role, 'book') = 'book'
),

told as (
    select
        source,
        account,
        usage_date,
        billing_currency,
        sum(billed_cost) as billed_cost
    from fct_api_costs_daily
    where billed_cost is not null
    group by source, account, usage_date, billing_currency
),

compared as (
    select
        coalesce(books.account, told.account) as account,
        coalesce(books.source, told.source) as source,
        coalesce(books.usage_date, told.usage_date) as usage_date,
        coalesce(books.billing_currency, told.billing_currency) as billing_currency,
        books.stated_amount,
        cast(told.billed_cost * coalesce(books.units_per_currency, 1) as decimal(38, 18)) as told_amount
    from books
    full outer join told
        on
            books.source = told.source
            and books.account = told.account
            and books.usage_date = told.usage_date
            and books.billing_currency = told.billing_currency
)

select
    'money_is_conserved' as law,
    'account:' || account as scope,
    concat(
        source,
        ' ',
        usage_date,
        ': the files say ',
        coalesce(cast(stated_amount as varchar), 'nothing'),
        ' in their own unit of ',
        billing_currency,
        ', fct_api_costs_daily holds ',
        coalesce(cast(told_amount as varchar), 'nothing'),
        '.'
    ) as detail
from compared
where stated_amount is distinct from told_amount
