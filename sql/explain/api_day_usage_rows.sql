-- The landed usage rows of an account's days, models, classes and tiers in which the bill names keys otherwise than the
-- meter, so that charges share the tokens, as the build's own SQL takes each of them.
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

select usage.*
from traced_int_api_usage_daily as usage
inner join shared
    on
        usage.usage_date = shared.usage_date
        and usage.provider = shared.provider
        and usage.account = shared.account
        and usage.charge_kind = shared.charge_kind
        and usage.model is not distinct from shared.model
        and usage.token_class is not distinct from shared.token_class
        and usage.service_tier is not distinct from shared.service_tier
order by usage.usage_date, usage.object_number, usage.object_row, usage.token_class
