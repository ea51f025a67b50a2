-- One row per usage_date, usage_hour_at, provider, issuer, account, workload, model, token_class.
-- Tokens that a bill's meter knows by the day only, laid over the hours in which a gateway passed the requests on: by
-- largest remainder, so that the hours sum to the meter's day exactly. Input by the gateway's prompt tokens, output by
-- its completion tokens.
-- A day of an account's model has a shape only where the gateway saw it whole (prompt and completion tokens each within
-- a tenth of the meter's), where no part of it is metered by the hour, and where all of it is one workload's: which
-- workload a gateway's request was for, nobody says. Every other day stays a sum.
-- partition: month
with
metered as (
    select
        *,
        case when token_class like 'output%' then 'completion' else 'prompt' end as side
    from int_api_usage_hourly
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
    group by all
),

gateway_hours as (
    select
        usage_date,
        usage_hour_at,
        issuer,
        account,
        model,
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
        and min(sides.first_workload) = max(sides.last_workload)
),

floored as (
    select
        cells.usage_date,
        gateway_hours.usage_hour_at,
        cells.provider,
        cells.issuer,
        cells.account,
        cells.workload,
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
    inner join gateway_days
        on
            cells.usage_date = gateway_days.usage_date
            and cells.issuer = gateway_days.issuer
            and cells.account = gateway_days.account
            and cells.model = gateway_days.model
            and cells.side = gateway_days.side
    where cells.tokens > 0
),

shared as (
    select
        *,
        floor_tokens + case
            when
                row_number() over (
                    partition by usage_date, provider, issuer, account, workload, model, token_class
                    order by remainder desc, usage_hour_at asc
                ) <= day_tokens - sum(floor_tokens) over (
                    partition by usage_date, provider, issuer, account, workload, model, token_class
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
        cast(shared_tokens as bigint) as tokens
    from shared
    where shared_tokens > 0
)

select * from final
