-- One row per usage_date, account, api_key_id, user_id, raw_model, model_group, provider, billing_currency.
-- What the gateway thinks a day's traffic cost, as its newest export of each of its rows says. A row is exported again,
-- with the day's spend so far, whenever it changed.
-- partition: month
with
estimates as (
    select * from landed_litellm_focus__estimates
),

dated as (
    select
        *,
        max(exported_until_at) over (
            partition by
                usage_date, account, billing_account_id, user_id, resource_id, service_name, provider_name
        ) as last_exported_until_at
    from estimates
),

-- Two exports of one window state one row twice.
newest as (
    select
        usage_date,
        account,
        billing_account_id as api_key_id,
        user_id,
        case
            when starts_with(resource_id, provider_name || '/') then substr(resource_id, length(provider_name) + 2)
            else resource_id
        end as raw_model,
        service_name as model_group,
        provider_name as provider,
        billing_currency,
        resource_id,
        row_of_several,
        max(billed_cost) as rated_cost,
        max(consumed_quantity) as request_count
    from dated
    where exported_until_at = last_exported_until_at
    group by all
),

final as (
    select
        usage_date,
        account,
        api_key_id,
        user_id,
        raw_model,
        model_group,
        provider,
        billing_currency,
        cast(sum(rated_cost) as decimal(38, 18)) as rated_cost,
        case
            when count(request_count) = count(*) then cast(sum(request_count) as decimal(38, 18))
        end as request_count
    from newest
    group by all
)

select * from final
