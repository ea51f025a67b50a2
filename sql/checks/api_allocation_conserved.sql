-- law: allocation_is_conserved
-- scope: account
-- partition: month, days apart
-- The parts of every charge add up to the charge, cell by cell, not only in the day's total.
with
charged as (
    select
        usage_date,
        source,
        account,
        sub_account_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        billing_currency,
        sum(billed_cost) as billed_cost
    from int_api_charges_daily
    where is_book
    group by all
),

told as (
    select
        usage_date,
        source,
        account,
        sub_account_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        billing_currency,
        sum(billed_cost) as billed_cost
    from fct_api_costs_daily
    where billed_cost is not null
    group by all
)

select
    coalesce(charged.usage_date, told.usage_date) as usage_date,
    'allocation_is_conserved' as law,
    'account:' || coalesce(charged.account, told.account) as scope,
    concat(
        coalesce(charged.usage_date, told.usage_date),
        ' ',
        coalesce(charged.model, told.model, 'no model'),
        ' ',
        coalesce(charged.token_class, told.token_class, charged.charge_kind, told.charge_kind),
        ': charged ',
        coalesce(cast(charged.billed_cost as varchar), 'nothing'),
        ', allocated ',
        coalesce(cast(told.billed_cost as varchar), 'nothing'),
        '.'
    ) as detail
from charged
full outer join told
    on
        charged.usage_date = told.usage_date
        and charged.source = told.source
        and charged.account = told.account
        and charged.charge_kind = told.charge_kind
        and charged.billing_currency = told.billing_currency
        and charged.sub_account_id is not distinct from told.sub_account_id
        and charged.model is not distinct from told.model
        and charged.token_class is not distinct from told.token_class
        and charged.service_tier is not distinct from told.service_tier
        and charged.context_window is not distinct from told.context_window
        and charged.inference_geo is not distinct from told.inference_geo
where charged.billed_cost is distinct from told.billed_cost
