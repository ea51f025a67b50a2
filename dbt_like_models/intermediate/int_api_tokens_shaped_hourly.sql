-- One row per usage_date, usage_hour_at, provider, issuer, account, workload, model, token_class.
-- Tokens that a bill's meter knows by the day only, laid over the hours in which a gateway passed the requests on: by
-- largest remainder, so that the hours sum to the meter's day exactly. Input by the gateway's prompt tokens, output by
-- its completion tokens.
-- A day of an account's model has a shape only where the gateway saw it whole (prompt and completion tokens each within
-- a tenth of the meter's) and no part of it is metered by the hour. Where the day is split by the gateway's keys or
-- teams, each part has the hours of its own; else all of it has to be one workload's, because whose a request was,
-- nobody says. Every other day stays a sum.
-- partition: month, days apart
-- rows of: int_gateway_usage_hourly
with
metered as (
    select
        *,
        case when token_class like 'output%' then 'completion' else 'prompt' end as side
    from int_api_usage_parts_hourly
    where charge_kind = 'tokens' and model is not null
),

cells as (
    select
        metered.usage_date,
        metered.provider,
        metered.issuer,
        metered.account,
        metered.model,
        metered.side,
        metered.token_class,
        int_api_workloads_daily.workload,
        metered.gateway_key_id,
        metered.gateway_team_id,
        metered.is_split_by_gateway,
        bool_or(metered.usage_hour_at is not null) as has_hours,
        cast(sum(metered.tokens) as bigint) as tokens
    from metered
    inner join int_api_workloads_daily
        on
            metered.usage_date = int_api_workloads_daily.usage_date
            and metered.provider = int_api_workloads_daily.provider
            and metered.account = int_api_workloads_daily.account
            and metered.sub_account_id is not distinct from int_api_workloads_daily.sub_account_id
            and metered.api_key_id is not distinct from int_api_workloads_daily.api_key_id
            and metered.model is not distinct from int_api_workloads_daily.model
            and metered.gateway_key_id is not distinct from int_api_workloads_daily.gateway_key_id
            and metered.gateway_team_id is not distinct from int_api_workloads_daily.gateway_team_id
    group by all
),

-- By part (is_of_part), and all parts together: a day that is not split has the hours of all of it.
gateway_hours as (
    select
        usage_date,
        usage_hour_at,
        issuer,
        account,
        model,
        true as is_of_part,
        gateway_key_id,
        gateway_team_id,
        unnest(['prompt', 'completion']) as side,
        unnest([cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint)]) as gateway_tokens
    from int_gateway_usage_hourly
    group by usage_date, usage_hour_at, issuer, account, model, gateway_key_id, gateway_team_id
    union all
    select
        usage_date,
        usage_hour_at,
        issuer,
        account,
        model,
        false as is_of_part,
        cast(null as varchar) as gateway_key_id,
        cast(null as varchar) as gateway_team_id,
        unnest(['prompt', 'completion']) as side,
        unnest([cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint)]) as gateway_tokens
    from int_gateway_usage_hourly
    group by usage_date, usage_hour_at, issuer, account, model
),

gateway_days as (
    select
        usage_date,
        issuer,
        account,
        model,
        side,
        is_of_part,
        gateway_key_id,
        gateway_team_id,
        cast(sum(gateway_tokens) as bigint) as gateway_tokens
    from gateway_hours
    group by all
),

sides as (
    select
        cells.usage_date,
        cells.provider,
        cells.issuer,
        cells.account,
        cells.model,
        cells.side,
        bool_or(cells.has_hours) as has_hours,
        min(cells.workload) as first_workload,
        max(cells.workload) as last_workload,
        bool_and(cells.is_split_by_gateway) as is_split_by_gateway,
        cast(sum(cells.tokens) as bigint) as tokens
    from cells
    group by all
),

covered as (
    select
        sides.usage_date,
        sides.provider,
        sides.issuer,
        sides.account,
        sides.model
    from sides
    left join gateway_days
        on
            sides.usage_date = gateway_days.usage_date
            and sides.issuer = gateway_days.issuer
            and sides.account = gateway_days.account
            and sides.model = gateway_days.model
            and sides.side = gateway_days.side
            and not gateway_days.is_of_part
    group by sides.usage_date, sides.provider, sides.issuer, sides.account, sides.model
    having
        bool_and(
            coalesce(
                9 * sides.tokens <= 10 * gateway_days.gateway_tokens
                and 9 * gateway_days.gateway_tokens <= 10 * sides.tokens,
                false
            )
        )
        and not bool_or(sides.has_hours)
        and (bool_and(sides.is_split_by_gateway) or min(sides.first_workload) = max(sides.last_workload))
),

floored as (
    select
        cells.usage_date,
        gateway_hours.usage_hour_at,
        cells.provider,
        cells.issuer,
        cells.account,
        cells.workload,
        cells.gateway_key_id,
        cells.gateway_team_id,
        cells.is_split_by_gateway,
        cells.model,
        cells.token_class,
        cells.tokens as day_tokens,
        cast(cells.tokens as hugeint) * gateway_hours.gateway_tokens // gateway_days.gateway_tokens as floor_tokens,
        cast(cells.tokens as hugeint) * gateway_hours.gateway_tokens % gateway_days.gateway_tokens as remainder
    from cells
    inner join covered
        on
            cells.usage_date = covered.usage_date
            and cells.provider = covered.provider
            and cells.issuer = covered.issuer
            and cells.account = covered.account
            and cells.model = covered.model
    inner join gateway_hours
        on
            cells.usage_date = gateway_hours.usage_date
            and cells.issuer = gateway_hours.issuer
            and cells.account = gateway_hours.account
            and cells.model = gateway_hours.model
            and cells.side = gateway_hours.side
            and cells.is_split_by_gateway = gateway_hours.is_of_part
            and cells.gateway_key_id is not distinct from gateway_hours.gateway_key_id
            and cells.gateway_team_id is not distinct from gateway_hours.gateway_team_id
    inner join gateway_days
        on
            cells.usage_date = gateway_days.usage_date
            and cells.issuer = gateway_days.issuer
            and cells.account = gateway_days.account
            and cells.model = gateway_days.model
            and cells.side = gateway_days.side
            and cells.is_split_by_gateway = gateway_days.is_of_part
            and cells.gateway_key_id is not distinct from gateway_days.gateway_key_id
            and cells.gateway_team_id is not distinct from gateway_days.gateway_team_id
    where cells.tokens > 0
),

shared as (
    select
        *,
        floor_tokens + case
            when
                row_number() over (
                    partition by
                        usage_date, provider, issuer, account, workload, gateway_key_id, gateway_team_id,
                        is_split_by_gateway, model, token_class
                    order by remainder desc, usage_hour_at asc
                ) <= day_tokens - sum(floor_tokens) over (
                    partition by
                        usage_date, provider, issuer, account, workload, gateway_key_id, gateway_team_id,
                        is_split_by_gateway, model, token_class
                )
                then 1
            else 0
        end as shared_tokens
    from floored
),

final as (
    select
        usage_date,
        usage_hour_at,
        provider,
        issuer,
        account,
        workload,
        model,
        token_class,
        cast(sum(shared_tokens) as bigint) as tokens
    from shared
    where shared_tokens > 0
    group by usage_date, usage_hour_at, provider, issuer, account, workload, model, token_class
)

select * from final
