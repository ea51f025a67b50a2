-- One row per usage_date, account, sub_account_id, api_key_id, model, charge_kind, token_class, service_tier,
-- context_window, inference_geo, billing_currency, attribution.
-- The book of record's charges with an API key: named by the bill (direct), split by the usage of the charge's own cell
-- (allocated), without any usage (unattributed); and usage that no bill charges (metered_only, its cost unknown).
-- A split is exact: whole quanta of 10^-18 by largest remainder, ties by key, the sign put back last.
-- partition: month
with
charges as (
    select
        *,
        cast(replace(cast(abs(billed_cost) as varchar), '.', '') as hugeint) as cost_quanta,
        row_number() over (
            order by
                usage_date,
                source,
                account,
                sub_account_id,
                api_key_id,
                model,
                charge_kind,
                token_class,
                service_tier,
                context_window,
                inference_geo,
                billing_currency
        ) as charge_number
    from int_api_charges_daily
    where is_book
),

-- A usage report may leave out the geography that the bill states. Where the bill knows one only, it is that one.
geographies as (
    select
        usage_date,
        provider,
        account,
        sub_account_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        min(inference_geo) as inference_geo
    from charges
    group by
        usage_date, provider, account, sub_account_id, model, charge_kind, token_class, service_tier, context_window
    having count(distinct inference_geo) = 1 and count(inference_geo) = count(*)
),

placed as (
    select
        usage.usage_date,
        usage.provider,
        usage.issuer,
        usage.source,
        usage.account,
        usage.sub_account_id,
        usage.api_key_id,
        usage.model,
        usage.charge_kind,
        usage.token_class,
        usage.service_tier,
        usage.context_window,
        coalesce(usage.inference_geo, geographies.inference_geo) as inference_geo,
        cast(sum(usage.tokens) as bigint) as tokens,
        cast(sum(usage.web_search_request_count) as bigint) as web_search_request_count
    from int_api_usage_daily as usage
    left join geographies
        on
            usage.usage_date = geographies.usage_date
            and usage.provider = geographies.provider
            and usage.account = geographies.account
            and usage.charge_kind = geographies.charge_kind
            and usage.sub_account_id is not distinct from geographies.sub_account_id
            and usage.model is not distinct from geographies.model
            and usage.token_class is not distinct from geographies.token_class
            and usage.service_tier is not distinct from geographies.service_tier
            and usage.context_window is not distinct from geographies.context_window
    group by all
),

metered as (
    select
        *,
        -- W below is a sum of these; as BIGINTs they stay below 2^63, or the cast stops the build.
        coalesce(tokens, web_search_request_count) as weight,
        row_number() over (
            order by
                usage_date,
                source,
                account,
                sub_account_id,
                api_key_id,
                model,
                charge_kind,
                token_class,
                service_tier,
                context_window,
                inference_geo
        ) as usage_number
    from placed
),

matched as (
    select
        charges.charge_number,
        charges.is_key_named,
        metered.usage_number,
        metered.api_key_id,
        metered.weight,
        metered.tokens,
        metered.web_search_request_count,
        cast(sum(metered.weight) over (partition by charges.charge_number) as bigint) as total_weight,
        charges.cost_quanta,
        -- The same usage under two charges (two currencies) is one usage: it is counted beside the first.
        row_number() over (partition by metered.usage_number order by charges.charge_number) as charge_order
    from charges
    inner join metered
        on
            charges.usage_date = metered.usage_date
            and charges.provider = metered.provider
            and charges.account = metered.account
            and charges.charge_kind = metered.charge_kind
            and charges.sub_account_id is not distinct from metered.sub_account_id
            and charges.model is not distinct from metered.model
            and charges.token_class is not distinct from metered.token_class
            and charges.service_tier is not distinct from metered.service_tier
            and charges.context_window is not distinct from metered.context_window
            and charges.inference_geo is not distinct from metered.inference_geo
            and metered.weight > 0
            and (not charges.is_key_named or charges.api_key_id is not distinct from metered.api_key_id)
),

shares as (
    select
        *,
        (cost_quanta // total_weight) * weight
        + ((cost_quanta % total_weight) * weight) // total_weight as share_quanta,
        ((cost_quanta % total_weight) * weight) % total_weight as remainder
    from matched
),

ranked as (
    select
        *,
        cost_quanta - sum(share_quanta) over (partition by charge_number) as leftover_quanta,
        row_number() over (partition by charge_number order by remainder desc, usage_number asc) as remainder_order
    from shares
),

split as (
    select
        charge_number,
        usage_number,
        api_key_id,
        case when charge_order = 1 then tokens end as tokens,
        case when charge_order = 1 then web_search_request_count end as web_search_request_count,
        share_quanta + case when remainder_order <= leftover_quanta then 1 else 0 end as quanta
    from ranked
),

charged as (
    select
        charges.usage_date,
        charges.provider,
        charges.issuer,
        charges.source,
        charges.account,
        charges.sub_account_id,
        case when charges.is_key_named then charges.api_key_id else split.api_key_id end as api_key_id,
        charges.model,
        charges.charge_kind,
        charges.token_class,
        charges.service_tier,
        charges.context_window,
        charges.inference_geo,
        charges.speed,
        case
            when charges.is_key_named then 'direct'
            when split.usage_number is null then 'unattributed'
            else 'allocated'
        end as attribution,
        charges.billing_currency,
        split.tokens,
        split.web_search_request_count,
        case
            when charges.is_key_named or split.usage_number is null then charges.billed_cost
            else
                cast(
                    (
                        cast(split.quanta // 1000000000000000000 as decimal(38, 18))
                        + cast(split.quanta % 1000000000000000000 as decimal(18, 0))
                        * cast(0.000000000000000001 as decimal(18, 18))
                    )
                    * case when charges.billed_cost < 0 then -1 else 1 end as decimal(38, 18)
                )
        end as billed_cost,
        charges.stated_list_cost
    from charges
    left join split
        on charges.charge_number = split.charge_number
),

unbilled as (
    select
        metered.usage_date,
        metered.provider,
        metered.issuer,
        metered.source,
        metered.account,
        metered.sub_account_id,
        metered.api_key_id,
        metered.model,
        metered.charge_kind,
        metered.token_class,
        metered.service_tier,
        metered.context_window,
        metered.inference_geo,
        cast(null as varchar) as speed,
        'metered_only' as attribution,
        cast(null as varchar) as billing_currency,
        metered.tokens,
        metered.web_search_request_count,
        cast(null as decimal(38, 18)) as billed_cost,
        cast(null as decimal(38, 18)) as stated_list_cost
    from metered
    left join split
        on metered.usage_number = split.usage_number
    where split.usage_number is null
),

final as (
    select * from charged
    union all
    select * from unbilled
)

select * from final
