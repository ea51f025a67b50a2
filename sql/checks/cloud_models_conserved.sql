-- law: cloud_models_sum_to_the_bill
-- scope: account
-- partition: month, days apart
-- What hosted models are shown to have cost is what their services charged for use: of each account and day, in every
-- currency, to the last quantum.
with
bills as (
    select
        usage_date,
        issuer,
        account,
        billing_currency,
        case when count(*) = count(billed_cost) then sum(billed_cost) end as cost
    from int_cloud_charges_daily
    where
        is_book and not is_gpu_resource and charge_category = 'Usage'
        and regexp_matches(
            lower(service),
            'bedrock|openai|foundry models|cognitive services|azure ai services|vertex ai|gemini|generative language'
        )
    group by usage_date, issuer, account, billing_currency
),

told as (
    select
        usage_date,
        issuer,
        account,
        billing_currency,
        case when count(*) = count(billed_cost) then sum(billed_cost) end as cost,
        count(*) filter (where tokens is null and status = 'known') as uncounted_count
    from fct_cloud_model_costs_daily
    group by usage_date, issuer, account, billing_currency
)

select
    coalesce(bills.usage_date, told.usage_date) as usage_date,
    'cloud_models_sum_to_the_bill' as law,
    case
        when coalesce(bills.account, told.account) is null then 'issuer:' || coalesce(bills.issuer, told.issuer)
        else 'account:' || coalesce(bills.account, told.account)
    end as scope,
    concat(
        coalesce(bills.usage_date, told.usage_date), ': ', coalesce(cast(bills.cost as varchar), 'nothing known'), ' ',
        coalesce(bills.billing_currency, told.billing_currency), ' charged for hosted models, ',
        coalesce(cast(told.cost as varchar), 'nothing known'), ' by model.'
    ) as detail
from bills
full outer join told
    on
        bills.usage_date = told.usage_date
        and bills.issuer = told.issuer
        and bills.account is not distinct from told.account
        and bills.billing_currency is not distinct from told.billing_currency
where bills.cost is distinct from told.cost or told.uncounted_count > 0
