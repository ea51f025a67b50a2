-- law: every_charge_has_one_owner_or_none
-- scope: account
-- partition: month, days apart
-- What teams, and nobody, are shown to have cost is what was charged: of each account and day, in every currency, to
-- the last quantum. Billed adds up to the bills, effective to owned hardware and what commitments cover, accrued to
-- what is agreed.
with
said as (
    select
        usage_date,
        issuer,
        account,
        'billed' as cost_measure,
        billing_currency,
        billed_cost as cost
    from int_api_charges_daily
    where is_book
    union all
    select
        usage_date,
        issuer,
        account,
        'billed' as cost_measure,
        billing_currency,
        billed_cost as cost
    from int_cloud_charges_daily
    -- Of a GPU that a commitment covers nothing is billed: what that costs is all that there is of it, below.
    where
        is_book
        and (not is_gpu_resource or pricing_category is distinct from 'Committed' or billed_cost is distinct from 0)
    union all
    select
        usage_date,
        issuer,
        account,
        'effective' as cost_measure,
        billing_currency,
        effective_cost as cost
    from int_cloud_charges_daily
    where is_book and not is_gpu_resource and pricing_category = 'Committed'
    union all
    -- Of cloud bills what is billed of a GPU is above.
    select
        usage_date,
        issuer,
        account,
        cost_measure,
        billing_currency,
        realized_cost as cost
    from int_gpu_charges_daily
    where cost_measure != 'billed' or line_number is not null
    union all
    select
        usage_date,
        issuer,
        account,
        cost_measure,
        billing_currency,
        realized_cost as cost
    from int_gpu_resource_costs_daily
    where cost_measure = 'accrued'
),

charges as (
    select
        usage_date,
        issuer,
        account,
        cost_measure,
        billing_currency,
        sum(cost) as cost
    from said
    group by usage_date, issuer, account, cost_measure, billing_currency
),

owned as (
    select
        usage_date,
        issuer,
        account,
        cost_measure,
        billing_currency,
        sum(realized_cost) as cost
    from fct_owner_costs_daily
    group by usage_date, issuer, account, cost_measure, billing_currency
)

select
    coalesce(charges.usage_date, owned.usage_date) as usage_date,
    'every_charge_has_one_owner_or_none' as law,
    case
        when coalesce(charges.account, owned.account) is null
            then 'issuer:' || coalesce(charges.issuer, owned.issuer)
        else 'account:' || coalesce(charges.account, owned.account)
    end as scope,
    concat(
        coalesce(charges.usage_date, owned.usage_date), ', ', coalesce(charges.cost_measure, owned.cost_measure), ': ',
        coalesce(cast(charges.cost as varchar), 'nothing known'), ' ',
        coalesce(charges.billing_currency, owned.billing_currency), ' charged, ',
        coalesce(cast(owned.cost as varchar), 'nothing known'), ' by owner.'
    ) as detail
from charges
full outer join owned
    on
        charges.usage_date = owned.usage_date
        and charges.issuer = owned.issuer
        and charges.account is not distinct from owned.account
        and charges.cost_measure = owned.cost_measure
        and charges.billing_currency is not distinct from owned.billing_currency
where charges.cost is distinct from owned.cost
