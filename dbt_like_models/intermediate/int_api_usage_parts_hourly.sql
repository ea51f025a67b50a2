-- One row per usage_date, usage_hour_at, source, account, activity, sub_account_id, api_key_id, model, charge_kind,
-- token_class, service_tier, context_window, inference_geo, gateway_key_id, gateway_team_id.
-- What every API metered, and of what went through a gateway whose key or team it was: where a workload's rule names
-- one, the metered tokens of the cells that the rule's other words name are split by the gateway's count, the hour's
-- where it has that hour, else the day's, by largest remainder. So the meter's sum stands, to the token.
-- Split are only an account's models of which the gateway saw, on that day, all that these cells were metered (prompt
-- and completion tokens each within a tenth): a part of it says nothing of the rest.
-- partition: day, days apart
with
usage as (
    select * from int_api_usage_hourly
),

rules as (
    select
        *,
        regexp_replace(model, '-20[0-9]{6}$', '') as undated_model
    from config_workload_rules
    where gateway_key is not null or gateway_team is not null
),

cells as (
    select distinct
        usage_date,
        provider,
        account,
        sub_account_id,
        api_key_id,
        model
    from usage
    where charge_kind = 'tokens' and model is not null
),

behind as (
    select distinct cells.*
    from cells
    inner join rules
        on
            (rules.valid_from_date is null or cells.usage_date >= rules.valid_from_date)
            and (rules.valid_to_date is null or cells.usage_date < rules.valid_to_date)
            and (rules.provider is null or cells.provider = rules.provider)
            and (rules.account is null or cells.account = rules.account)
            and (rules.sub_account is null or coalesce(cells.sub_account_id, 'Default') = rules.sub_account)
            and (rules.api_key is null or cells.api_key_id = rules.api_key)
    left join model_aliases
        on
            rules.model = model_aliases.raw_name
            and cells.provider = model_aliases.provider
            and (model_aliases.valid_from_date is null or cells.usage_date >= model_aliases.valid_from_date)
            and (model_aliases.valid_to_date is null or cells.usage_date < model_aliases.valid_to_date)
    where rules.model is null or cells.model in (rules.model, rules.undated_model, model_aliases.model)
),

metered as (
    select
        usage.*,
        case when usage.token_class like 'output%' then 'completion' else 'prompt' end as side
    from usage
    inner join behind
        on
            usage.usage_date = behind.usage_date
            and usage.provider = behind.provider
            and usage.account = behind.account
            and usage.model = behind.model
            and usage.sub_account_id is not distinct from behind.sub_account_id
            and usage.api_key_id is not distinct from behind.api_key_id
    where usage.charge_kind = 'tokens'
),

metered_days as (
    select
        usage_date,
        issuer,
        account,
        model,
        side,
        cast(sum(tokens) as bigint) as tokens
    from metered
    group by usage_date, issuer, account, model, side
),

gateway_hours as (
    select
        usage_date,
        usage_hour_at,
        issuer,
        account,
        model,
        gateway_key_id,
        gateway_team_id,
        unnest(['prompt', 'completion']) as side,
        unnest([cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint)]) as gateway_tokens
    from int_gateway_usage_hourly
    group by usage_date, usage_hour_at, issuer, account, model, gateway_key_id, gateway_team_id
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
    group by usage_date, issuer, account, model, side
),

covered as (
    select
        metered_days.usage_date,
        metered_days.issuer,
        metered_days.account,
        metered_days.model
    from metered_days
    left join gateway_days
        on
            metered_days.usage_date = gateway_days.usage_date
            and metered_days.issuer = gateway_days.issuer
            and metered_days.account = gateway_days.account
            and metered_days.model = gateway_days.model
            and metered_days.side = gateway_days.side
    group by metered_days.usage_date, metered_days.issuer, metered_days.account, metered_days.model
    having
        bool_and(
            coalesce(
                9 * metered_days.tokens <= 10 * gateway_days.gateway_tokens
                and 9 * gateway_days.gateway_tokens <= 10 * metered_days.tokens,
                false
            )
        )
),

-- The parts of each hour, and (part_hour_at NULL) of the whole day.
parts as (
    select
        usage_date,
        usage_hour_at as part_hour_at,
        issuer,
        account,
        model,
        side,
        gateway_key_id,
        gateway_team_id,
        gateway_tokens as weight
    from gateway_hours
    where gateway_tokens > 0
    union all
    select
        usage_date,
        cast(null as timestamp) as part_hour_at,
        issuer,
        account,
        model,
        side,
        gateway_key_id,
        gateway_team_id,
        cast(sum(gateway_tokens) as bigint) as weight
    from gateway_hours
    where gateway_tokens > 0
    group by usage_date, issuer, account, model, side, gateway_key_id, gateway_team_id
),

known_hours as (
    select distinct
        usage_date,
        part_hour_at,
        issuer,
        account,
        model,
        side
    from parts
    where part_hour_at is not null
),

split_cells as (
    select
        behind.*,
        models.issuer
    from behind
    inner join (
        select distinct
            metered.usage_date,
            metered.provider,
            metered.issuer,
            metered.account,
            metered.model
        from metered
        inner join covered
            on
                metered.usage_date = covered.usage_date
                and metered.issuer = covered.issuer
                and metered.account = covered.account
                and metered.model = covered.model
    ) as models
        on
            behind.usage_date = models.usage_date
            and behind.provider = models.provider
            and behind.account = models.account
            and behind.model = models.model
),

split_rows as (
    select
        metered.*,
        known_hours.part_hour_at,
        row_number() over (
            order by
                metered.usage_date, metered.usage_hour_at, metered.source, metered.account, metered.activity,
                metered.sub_account_id, metered.api_key_id, metered.model, metered.token_class,
                metered.service_tier, metered.context_window, metered.inference_geo
        ) as usage_number
    from metered
    inner join covered
        on
            metered.usage_date = covered.usage_date
            and metered.issuer = covered.issuer
            and metered.account = covered.account
            and metered.model = covered.model
    left join known_hours
        on
            metered.usage_date = known_hours.usage_date
            and metered.usage_hour_at = known_hours.part_hour_at
            and metered.issuer = known_hours.issuer
            and metered.account = known_hours.account
            and metered.model = known_hours.model
            and metered.side = known_hours.side
    where metered.tokens > 0
),

weighed as (
    select
        split_rows.*,
        parts.gateway_key_id,
        parts.gateway_team_id,
        parts.weight,
        cast(sum(parts.weight) over (partition by split_rows.usage_number) as bigint) as total_weight
    from split_rows
    inner join parts
        on
            split_rows.usage_date = parts.usage_date
            and split_rows.issuer = parts.issuer
            and split_rows.account = parts.account
            and split_rows.model = parts.model
            and split_rows.side = parts.side
            and split_rows.part_hour_at is not distinct from parts.part_hour_at
),

floored as (
    select
        *,
        cast(tokens as hugeint) * weight // total_weight as floor_tokens,
        cast(tokens as hugeint) * weight % total_weight as remainder
    from weighed
),

shared as (
    select
        *,
        floor_tokens + case
            when
                row_number() over (
                    partition by usage_number
                    order by remainder desc, gateway_key_id asc nulls last, gateway_team_id asc nulls last
                ) <= tokens - sum(floor_tokens) over (partition by usage_number)
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
        source,
        account,
        activity,
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
        true as is_split_by_gateway,
        cast(shared_tokens as bigint) as tokens,
        cast(null as bigint) as web_search_request_count
    from shared
    where shared_tokens > 0
    union all
    select
        usage.usage_date,
        usage.usage_hour_at,
        usage.provider,
        usage.issuer,
        usage.source,
        usage.account,
        usage.activity,
        usage.sub_account_id,
        usage.api_key_id,
        usage.model,
        usage.charge_kind,
        usage.token_class,
        usage.service_tier,
        usage.context_window,
        usage.inference_geo,
        cast(null as varchar) as gateway_key_id,
        cast(null as varchar) as gateway_team_id,
        false as is_split_by_gateway,
        usage.tokens,
        usage.web_search_request_count
    from usage
    left join split_cells
        on
            usage.usage_date = split_cells.usage_date
            and usage.provider = split_cells.provider
            and usage.issuer = split_cells.issuer
            and usage.account = split_cells.account
            and usage.model = split_cells.model
            and usage.sub_account_id is not distinct from split_cells.sub_account_id
            and usage.api_key_id is not distinct from split_cells.api_key_id
    where split_cells.model is null or usage.charge_kind != 'tokens' or coalesce(usage.tokens = 0, true)
)

select * from final
