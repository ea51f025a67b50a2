-- One row per usage_date, account, sub_account_id, api_key_id, model, charge_kind, token_class, service_tier,
-- context_window, inference_geo, billing_currency, attribution, gateway_key_id, gateway_team_id.
-- The book of record's charges with an API key: named by the bill (direct), split by the usage of the charge's own cell
-- (allocated), that usage in turn by a gateway's count of whose it was (gateway), without any usage (unattributed); and
-- usage that no bill charges (metered_only, its cost unknown).
-- A split is exact: whole quanta of 10^-18 by largest remainder, ties by key, the sign put back last. A bill that names
-- its keys keeps every amount where it put it; only the tokens beside it are looked for.
-- partition: day, days apart
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

days as (
    select
        usage_date,
        provider,
        issuer,
        string_agg(distinct source, '+' order by source) as source,
        account,
        sub_account_id,
        api_key_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        gateway_key_id,
        gateway_team_id,
        is_split_by_gateway,
        cast(sum(tokens) as bigint) as tokens,
        cast(sum(web_search_request_count) as bigint) as web_search_request_count
    from int_api_usage_parts_hourly
    group by all
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
        usage.gateway_key_id,
        usage.gateway_team_id,
        usage.is_split_by_gateway,
        cast(sum(usage.tokens) as bigint) as tokens,
        cast(sum(usage.web_search_request_count) as bigint) as web_search_request_count
    from days as usage
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
                inference_geo,
                gateway_key_id,
                gateway_team_id,
                is_split_by_gateway
        ) as usage_number
    from placed
),

matched as (
    select
        charges.charge_number,
        metered.usage_number,
        metered.api_key_id,
        metered.gateway_key_id,
        metered.gateway_team_id,
        metered.is_split_by_gateway,
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
            and not charges.is_key_named
),

divided as (
    select
        *,
        cost_quanta // total_weight as whole_quanta
    from matched
),

shares as (
    select
        *,
        whole_quanta * weight
        + ((cost_quanta - whole_quanta * total_weight) * weight) // total_weight as share_quanta,
        ((cost_quanta - whole_quanta * total_weight) * weight) % total_weight as remainder
    from divided
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
        gateway_key_id,
        gateway_team_id,
        is_split_by_gateway,
        case when charge_order = 1 then tokens end as tokens,
        case when charge_order = 1 then web_search_request_count end as web_search_request_count,
        share_quanta + case when remainder_order <= leftover_quanta then 1 else 0 end as quanta
    from ranked
),

-- Usage meets no charge but of its own account, day, model, class and tier: all other is left out at once.
key_named_days as (
    select distinct
        usage_date,
        provider,
        account,
        model,
        charge_kind,
        token_class,
        service_tier
    from charges
    where is_key_named
),

-- A Console bill may name a key by a label that people choose, and a workspace likewise, where the meter has their ids.
-- Both sides are laid in one table, so that what neither states meets too.
sides as (
    select
        usage_date,
        provider,
        account,
        sub_account_id,
        api_key_id,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        true as is_charge,
        charge_number,
        billing_currency,
        cost_quanta,
        cast(null as bigint) as usage_number,
        cast(null as bigint) as tokens,
        cast(null as bigint) as web_search_request_count,
        cast(null as bigint) as weight
    from charges
    where is_key_named
    union all
    select
        metered.usage_date,
        metered.provider,
        metered.account,
        metered.sub_account_id,
        metered.api_key_id,
        metered.model,
        metered.charge_kind,
        metered.token_class,
        metered.service_tier,
        metered.context_window,
        metered.inference_geo,
        false as is_charge,
        cast(null as bigint) as charge_number,
        cast(null as varchar) as billing_currency,
        cast(null as hugeint) as cost_quanta,
        metered.usage_number,
        metered.tokens,
        metered.web_search_request_count,
        metered.weight
    from metered
    inner join key_named_days
        on
            metered.usage_date = key_named_days.usage_date
            and metered.provider = key_named_days.provider
            and metered.account = key_named_days.account
            and metered.charge_kind = key_named_days.charge_kind
            and metered.model is not distinct from key_named_days.model
            and metered.token_class is not distinct from key_named_days.token_class
            and metered.service_tier is not distinct from key_named_days.service_tier
    where metered.weight > 0
),

-- First by the key.
met_by_key as (
    select
        *,
        bool_or(is_charge) over same_key and not bool_and(is_charge) over same_key as is_met_by_key
    from sides
    window same_key as (
        partition by
            usage_date, provider, account, model, charge_kind, token_class, service_tier,
            sub_account_id, context_window, inference_geo, api_key_id
    )
),

-- Then, where no key that has a name is spelled alike, what is left in the cell without its key.
met_in_cell as (
    select
        *,
        not is_met_by_key
        and bool_or(is_charge and not is_met_by_key) over cell
        and bool_or(not is_charge and not is_met_by_key) over cell
        and not bool_or(is_met_by_key and api_key_id is not null) over cell as is_met_in_cell
    from met_by_key
    window cell as (
        partition by
            usage_date, provider, account, model, charge_kind, token_class, service_tier,
            sub_account_id, context_window, inference_geo
    )
),

-- Then what is left of the account's day in the same model, class and tier: other names of the workspace, dimensions
-- that older files do not state.
met_on_day as (
    select
        *,
        not is_met_by_key
        and not is_met_in_cell
        and bool_or(is_charge and not is_met_by_key and not is_met_in_cell) over account_day
        and bool_or(not is_charge and not is_met_by_key and not is_met_in_cell) over account_day
        and not bool_or(is_met_by_key and api_key_id is not null) over account_day as is_met_on_day
    from met_in_cell
    window account_day as (
        partition by usage_date, provider, account, model, charge_kind, token_class, service_tier
    )
),

meetings as (
    select
        *,
        case
            when is_met_by_key then 'key'
            when is_met_in_cell then 'cell'
            else 'account_day'
        end as tokens_matched_by,
        dense_rank() over (
            order by
                usage_date,
                provider,
                account,
                model,
                charge_kind,
                token_class,
                service_tier,
                is_met_by_key,
                is_met_in_cell,
                case when not is_met_on_day then sub_account_id end,
                case when not is_met_on_day then context_window end,
                case when not is_met_on_day then inference_geo end,
                case when is_met_by_key then api_key_id end
        ) as meeting_number
    from met_on_day
    where is_met_by_key or is_met_in_cell or is_met_on_day
),

met_units as (
    select
        meeting_number,
        min(billing_currency) as first_currency,
        count(tokens) > 0 as has_tokens,
        count(web_search_request_count) > 0 as has_searches,
        cast(sum(weight) as bigint) as units
    from meetings
    group by meeting_number
),

-- One price holds for all tokens of a meeting: each charge is for as many as its part of the money, in millionths of
-- the currency so that W stays below 2^63, or the cast stops the build. Charges that are all nothing share alike.
-- Usage that is billed in two currencies is counted beside the first.
met_charges as (
    select
        meetings.charge_number,
        meetings.tokens_matched_by,
        met_units.meeting_number,
        met_units.has_tokens,
        met_units.has_searches,
        met_units.units,
        case
            when sum(meetings.cost_quanta // 1000000000000) over meeting = 0 then 1
            else meetings.cost_quanta // 1000000000000
        end as weight
    from meetings
    inner join met_units
        on
            meetings.meeting_number = met_units.meeting_number
            and meetings.billing_currency = met_units.first_currency
    where meetings.is_charge
    window meeting as (partition by meetings.meeting_number)
),

met_totals as (
    select
        *,
        cast(sum(weight) over (partition by meeting_number) as bigint) as total_weight
    from met_charges
),

met_floors as (
    select
        *,
        units // total_weight * weight + units % total_weight * weight // total_weight as floor_units,
        units % total_weight * weight % total_weight as units_remainder
    from met_totals
),

named as (
    select
        charge_number,
        tokens_matched_by,
        has_tokens,
        has_searches,
        cast(
            floor_units + case
                when
                    row_number() over (
                        partition by meeting_number order by units_remainder desc, charge_number asc
                    ) <= units - sum(floor_units) over (partition by meeting_number)
                    then 1
                else 0
            end as bigint
        ) as units
    from met_floors
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
            when split.is_split_by_gateway then 'gateway'
            else 'allocated'
        end as attribution,
        charges.billing_currency,
        split.gateway_key_id,
        split.gateway_team_id,
        case
            when split.usage_number is not null then 'key'
            else named.tokens_matched_by
        end as tokens_matched_by,
        coalesce(split.tokens, case when named.has_tokens then named.units end) as tokens,
        coalesce(
            split.web_search_request_count, case when named.has_searches then named.units end
        ) as web_search_request_count,
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
        charges.stated_list_cost,
        charges.class_split
    from charges
    left join split
        on charges.charge_number = split.charge_number
    left join named
        on charges.charge_number = named.charge_number
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
        metered.gateway_key_id,
        metered.gateway_team_id,
        cast(null as varchar) as tokens_matched_by,
        metered.tokens,
        metered.web_search_request_count,
        cast(null as decimal(38, 18)) as billed_cost,
        cast(null as decimal(38, 18)) as stated_list_cost,
        cast(null as varchar) as class_split
    from metered
    left join split
        on metered.usage_number = split.usage_number
    left join meetings
        on metered.usage_number = meetings.usage_number
    where split.usage_number is null and meetings.usage_number is null
),

united as (
    select * from charged
    union all
    select * from unbilled
),

final as (
    select
        *,
        -- The only ways of buying a token that the price book knows; any other has no list price here.
        case
            when service_tier in ('standard', 'batch', 'flex', 'priority') and coalesce(speed, 'standard') = 'standard'
                then service_tier
            when service_tier = 'standard' and speed = 'fast' then 'fast'
        end as price_mode
    from united
)

select * from final
