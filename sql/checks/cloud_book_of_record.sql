-- law: one_dollar_one_home
-- scope: account
-- partition: none
-- Per issuer, account and month exactly one export of a cloud's or a GPU provider's bill is the book of record, and
-- nothing in it is counted from two deliveries that cannot both be right.
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
        issuer,
        account,
        date_trunc('month', usage_date) as usage_month,
        source
    from int_gpu_bill_lines
    where role = 'book'
),

books as (
    select
        issuer,
        account,
        usage_month,
        string_agg(source, ' and ' order by source) as sources
    from stated_books
    group by issuer, account, usage_month
    having count(*) > 1
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
),

-- A bucket of Google's: Google|billing account|invoice month or invoice[|part]; of Azure's ... |which cost[|scope].
restated as (
    select distinct
        source,
        account,
        split_part(bucket, '|', 2) as billing_account_id,
        split_part(bucket, '|', 3) as billing_period,
        split_part(bucket, '|', 4) as part,
        split_part(bucket, '|', 5) as scope_id,
        strftime(usage_date, '%Y-%m') as usage_month
    from landed_coverage
    where source in ('azure_cost_details', 'gcp_billing_export', 'gcp_cost_table') and row_count > 0
),

counted_twice as (
    select distinct
        wide.account,
        wide.billing_account_id,
        wide.billing_period,
        case wide.source
            when 'gcp_billing_export'
                then 'whole files and parts (settings.files). Deliver it one way, and redact the others.'
            when 'azure_cost_details'
                then concat(
                    'exports of ', coalesce(nullif(wide.scope_id, ''), 'what an inbox brought'), ' and of ',
                    narrow.scope_id, ', which is in it. Deliver one of them, and redact the other.'
                )
            else concat(
                'a table without an invoice number and invoice ', narrow.billing_period,
                '. Redact the former: the invoice states its month.'
            )
        end as reason
    from restated as wide
    inner join restated as narrow
        on
            wide.source = narrow.source
            and wide.account = narrow.account
            and wide.billing_account_id = narrow.billing_account_id
            and case wide.source
                when 'gcp_billing_export'
                    then wide.billing_period = narrow.billing_period and wide.part = '' and narrow.part != ''
                when 'azure_cost_details'
                    then
                        wide.billing_period = narrow.billing_period
                        and wide.part = narrow.part
                        and wide.scope_id != narrow.scope_id
                        and (
                            wide.scope_id = ''
                            or starts_with(narrow.scope_id, wide.scope_id || '/')
                            or (
                                starts_with(wide.scope_id, '/providers/')
                                and starts_with(narrow.scope_id, '/subscriptions/')
                            )
                        )
                else
                    wide.usage_month = narrow.usage_month
                    and regexp_full_match(wide.billing_period, '[0-9]{4}-[0-9]{2}-[0-9]{2}')
                    and not regexp_full_match(narrow.billing_period, '[0-9]{4}-[0-9]{2}-[0-9]{2}')
            end
),

-- Two configured accounts whose exports hold one billing account: the same charge in both is one that is summed twice.
-- Only what names a resource tells that for sure.
shared as (
    select billing_account_id
    from int_cloud_charges_daily
    where is_book and billing_account_id is not null
    group by billing_account_id
    having count(distinct account) > 1
),

twins as (
    select
        charges.billing_account_id,
        charges.billing_period_start_date,
        min(charges.account) as account,
        max(charges.account) as other_account
    from int_cloud_charges_daily as charges
    inner join shared
        on charges.billing_account_id = shared.billing_account_id
    where charges.is_book and charges.resource_id is not null and charges.billed_cost != 0
    group by
        charges.usage_date, charges.billing_account_id, charges.billing_period_start_date, charges.sub_account_id,
        charges.service, charges.sku, charges.sku_meter, charges.charge_category, charges.resource_id,
        charges.billing_currency, charges.billed_cost
    having count(distinct charges.account) > 1
),

overlapping as (
    select
        account,
        other_account,
        billing_account_id,
        billing_period_start_date,
        count(*) as charge_count
    from twins
    group by account, other_account, billing_account_id, billing_period_start_date
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
union all
select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(
        'billing period ', billing_period, ' of billing account ', billing_account_id,
        ' is counted twice, from ', reason
    ) as detail
from counted_twice
union all
select
    'one_dollar_one_home' as law,
    'account:' || account as scope,
    concat(
        charge_count, if(charge_count = 1, ' charge', ' charges'), ' of billing account ', billing_account_id,
        ' from ', billing_period_start_date, ' on stand alike in ', account, ' and in ', other_account,
        ': exports that overlap. Give one of them `role: control` in breakeven.yaml, or export each scope once.'
    ) as detail
from overlapping
