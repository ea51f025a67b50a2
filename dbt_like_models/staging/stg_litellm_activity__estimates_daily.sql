-- One row per usage_date, account, provider, billing_currency.
-- What a LiteLLM gateway thinks a day's traffic cost at each provider, as its daily activity says: the pages of an
-- answer add up.
-- partition: month
with
activity as (
    select * from landed_litellm_activity__activity
),

final as (
    select
        usage_date,
        account,
        custom_llm_provider as provider,
        currency as billing_currency,
        cast(sum(cast(spend as decimal(38, 18))) as decimal(38, 18)) as rated_cost,
        case when count(api_requests) = count(*) then cast(sum(api_requests) as bigint) end as request_count
    from activity
    group by all
)

select * from final
