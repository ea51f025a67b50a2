-- What a workload was billed at prices that no longer hold on the verdict's day, beside both prices.
with
billed as (
    select
        costs.*,
        case
            when exists (
                select 1 from api_prices as own
                where own.provider = costs.provider and own.account = costs.account
            ) then costs.account
        end as price_account,
        case when costs.inference_geo not in ('global', 'not_available') then costs.inference_geo end as region
    from fct_api_costs_daily as costs
    where
        costs.workload = $workload
        and list_contains($days, costs.usage_date)
        and costs.billed_cost_rc is not null
        and costs.tokens != 0
        and costs.token_class is not null
)

select
    billed.token_class,
    billed.provider,
    billed.account,
    billed.model,
    billed.price_mode,
    before.cost_per_mtok as cost_per_mtok_before,
    before.currency as currency_before,
    after.cost_per_mtok as cost_per_mtok_now,
    after.currency as currency_now,
    min(after.price_source) as price_source_now,
    min(billed.usage_date) as first_usage_date,
    max(billed.usage_date) as last_usage_date,
    sum(billed.billed_cost_rc) as billed_cost_rc,
    sum(billed.tokens) as tokens
from billed
inner join api_prices as before
    on
        billed.provider = before.provider
        and billed.price_account is not distinct from before.account
        and billed.model = before.model
        and billed.token_class = before.token_class
        and billed.price_mode = before.mode
        and billed.context_window is not distinct from before.context_window
        and billed.region is not distinct from before.region
        and billed.usage_date >= coalesce(before.valid_from_date, billed.usage_date)
        and billed.usage_date < coalesce(before.valid_to_date, billed.usage_date + 1)
inner join api_prices as after
    on
        before.provider = after.provider
        and before.account is not distinct from after.account
        and before.model = after.model
        and before.token_class = after.token_class
        and before.mode = after.mode
        and before.context_window is not distinct from after.context_window
        and before.region is not distinct from after.region
        and cast($usage_date as date) >= coalesce(after.valid_from_date, cast($usage_date as date))
        and cast($usage_date as date) < coalesce(after.valid_to_date, cast($usage_date as date) + 1)
where
    before.cost_per_mtok != 0
    and (before.cost_per_mtok, before.currency) is distinct from (after.cost_per_mtok, after.currency)
group by all
order by all
