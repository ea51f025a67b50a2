-- Every mart row of the account's days, models, classes and tiers in which charges share the metered tokens.
with
shared as (
    select distinct
        usage_date,
        provider,
        account,
        charge_kind,
        model,
        token_class,
        service_tier
    from chosen_costs
    where tokens_matched_by in ('cell', 'account_day')
)

select costs.*
from fct_api_costs_daily as costs
inner join shared
    on
        costs.usage_date = shared.usage_date
        and costs.provider = shared.provider
        and costs.account = shared.account
        and costs.charge_kind = shared.charge_kind
        and costs.model is not distinct from shared.model
        and costs.token_class is not distinct from shared.token_class
        and costs.service_tier is not distinct from shared.service_tier
order by costs.usage_date, costs.account, costs.sub_account_id, costs.api_key_id, costs.model, costs.token_class
