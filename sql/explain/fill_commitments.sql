-- Each commitment that a workload which may fill a deployment is under: who was billed what of it over the window, and
-- what of those that may move stands at the API, and avoids, as published. staying_tokens: of the same workloads what
-- may not move, or is known by the day only.
select
    scopes.*,
    fills.deployment_id,
    fills.window_days_count as fill_days_count,
    fills.movable_tokens,
    verdicts.api_price_rc_per_mtok,
    fills.avoided_cost_rc,
    greatest(
        0,
        (
            select coalesce(sum(daily.tokens), 0)
            from fct_demand_daily as daily
            where
                daily.lane = 'api'
                and daily.workload = fills.workload
                and list_contains($days, daily.usage_date)
        ) - fills.movable_tokens
    ) as staying_tokens
from fct_commitment_scopes_daily as scopes
left join fct_idle_fill_daily as fills
    on
        scopes.workload = fills.workload
        and scopes.commitment = fills.commitment
        and scopes.usage_date = fills.usage_date
left join fct_verdicts_daily as verdicts
    on fills.workload = verdicts.workload and fills.usage_date = verdicts.usage_date
where
    scopes.usage_date = cast($usage_date as date)
    and scopes.commitment in (
        select own.commitment
        from fct_idle_fill_daily as own
        where own.usage_date = cast($usage_date as date) and own.deployment_id = $deployment
    )
order by scopes.commitment, scopes.workload
