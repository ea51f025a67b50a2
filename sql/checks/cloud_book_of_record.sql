-- law: one_dollar_one_home
-- scope: account
-- partition: none
-- Per issuer, account and month exactly one export of a cloud bill is the book of record, and nothing in it is counted
-- from two deliveries that cannot both be right.
with
stated_books as (
    select distinct
        issuer,
        account,
        date_trunc('month', usage_date) as usage_month,
        source
    from int_cloud_charges_daily
    where role = 'book'
    union
    select distinct
        coalesce(config_sources.issuer, stg_invoice_csv__lines.account) as issuer,
        stg_invoice_csv__lines.account,
        date_trunc('month', stg_invoice_csv__lines.usage_date) as usage_month,
        'invoice_csv' as source
    from stg_invoice_csv__lines
    left join config_sources
        on config_sources.source = 'invoice_csv' and stg_invoice_csv__lines.account = config_sources.account
    where coalesce(config_sources.role, 'book') = 'book'
),

books as (
    select
        issuer,
        account,
        usage_month,
        string_agg(source, ' and ' order by source) as sources
    from stated_books
    group by issuer, account, usage_month
    having count(*) > 1 and count(*) filter (where source != 'invoice_csv') > 0
),

-- A bucket of FOCUS: provider|billing account|billing period[|part].
counted as (
    select distinct
        account,
        split_part(bucket, '|', 1) as provider,
        split_part(bucket, '|', 2) as billing_account_id,
        split_part(bucket, '|', 3) as billing_period,
        split_part(bucket, '|', 4) != '' as is_part,
        stated_at,
        landed_at
    from landed_coverage
    where source = 'focus'
),

several as (
    select
        account,
        billing_account_id,
        billing_period,
        string_agg(distinct provider, ' and ' order by provider) as providers,
        count(distinct provider) as provider_count,
        count(distinct is_part) as kind_count
    from counted
    group by account, billing_account_id, billing_period
    -- All parts are as recent as the last of them.
    having count(distinct stated_at) > 1 or (bool_or(is_part) and count(distinct landed_at) > 1)
),

-- A bucket of Azure's cost details: Microsoft|billing account|billing period|which cost.
azure_periods as (
    select
        account,
        split_part(bucket, '|', 2) as billing_account_id,
        split_part(bucket, '|', 3) as billing_period
    from landed_coverage
    where source = 'azure_cost_details'
    group by account, billing_account_id, billing_period
    having count(*) filter (where split_part(bucket, '|', 4) = 'actual') = 0
)

select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(
        sources, ' are both the book of record of issuer ', issuer, ' in ', strftime(usage_month, '%Y-%m'),
        '. One of them is summed: give the others `role: control` in breakeven.yaml.'
    ) as detail
from books
union all
select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(
        'billing period ', billing_period, ' of billing account ', billing_account_id,
        ' is counted from files of different dates',
        case
            when kind_count > 1 then ', whole files and parts (settings.files). Deliver it one way.'
            else concat(
                ', as of ', providers, '. If the newer restates the older under another name, redact the older; '
                'if they are two vendors, configure them as two accounts.'
            )
        end
    ) as detail
from several
where provider_count > 1 or kind_count > 1
union all
select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(
        'billing period ', billing_period, ' of billing account ', billing_account_id,
        ' has amortized costs and no actual ones: what was billed is in the latter. Export actual costs too.'
    ) as detail
from azure_periods
