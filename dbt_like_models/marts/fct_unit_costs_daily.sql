-- One row per usage_date, lane, provider, deployment_id, model, token_class, cost_measure.
-- What a million tokens really cost, per class and blended. Self-hosted: the whole bill of the deployment's GPUs
-- (full), its serving hours alone (active), one token more (marginal); without tokens the cost stays and the price is
-- undefined. API: the bill's cells that were both billed and metered.
-- partition: month, days apart
with
gpu_costs as (
    select * from fct_gpu_costs_daily
    where deployment_id is not null
),

self_host_tokens as (
    select * from fct_self_host_tokens_daily
    where deployment_id is not null
),

api_costs as (
    select * from fct_api_costs_daily
    where charge_kind = 'tokens'
),

deployments as (
    select * from config_deployments
),

fitted_weights as (
    select * from fct_token_class_weights_daily
    where token_weight_units is not null
),

deployment_costs as (
    select
        usage_date,
        deployment_id,
        string_agg(distinct issuer, '+' order by issuer) as provider,
        -- The least certain part says what the whole is: accrued, else effective, else billed.
        case
            when bool_or(cost_measure = 'accrued') then 'accrued'
            when bool_or(cost_measure = 'effective') then 'effective'
            else 'billed'
        end as cost_measure,
        case
            when count(*) = count(realized_cost_rc) then cast(sum(realized_cost_rc) as decimal(38, 18))
        end as full_cost_rc,
        -- Without any serving hour, nothing of the bill was serving. Where feeds disagree nobody knows what was.
        case
            when count(*) = count(realized_cost_rc) and count(*) filter (where state = 'conflict') = 0
                then cast(sum(case when state = 'serving' then realized_cost_rc else 0 end) as decimal(38, 18))
        end as active_cost_rc,
        sum(gpu_milliseconds) filter (where state = 'loaded_idle') as loaded_idle_ms,
        sum(gpu_milliseconds) filter (where state in ('serving', 'loaded_idle', 'conflict')) as ready_ms
    from gpu_costs
    group by usage_date, deployment_id
),

-- A deployment serves one model under one name; tokens of its classes add over workloads.
deployment_tokens as (
    select
        usage_date,
        deployment_id,
        token_class,
        cast(sum(tokens) as hugeint) as tokens
    from self_host_tokens
    group by usage_date, deployment_id, token_class
),

deployment_models as (
    select
        usage_date,
        deployment_id,
        string_agg(distinct model, '+' order by model) as served_model
    from self_host_tokens
    group by usage_date, deployment_id
),

known_days as (
    select
        usage_date,
        deployment_id
    from deployment_costs
    union
    select
        usage_date,
        deployment_id
    from deployment_tokens
),

declared as (
    select
        known_days.usage_date,
        known_days.deployment_id,
        max(deployments.model) as model,
        max(deployments.gpus_per_replica) as gpus_per_replica,
        max(deployments.peak_allowance) as peak_allowance,
        max(deployments.prefill_tokens_per_second) as prefill_tokens_per_second,
        max(deployments.cached_tokens_per_second) as cached_tokens_per_second,
        max(deployments.decode_tokens_per_second) as decode_tokens_per_second
    from known_days
    left join deployments
        on
            known_days.deployment_id = deployments.deployment_id
            and known_days.usage_date >= coalesce(deployments.valid_from_date, known_days.usage_date)
            and known_days.usage_date < coalesce(deployments.valid_to_date, known_days.usage_date + 1)
    group by known_days.usage_date, known_days.deployment_id
),

class_rates as (
    select
        deployment_tokens.usage_date,
        deployment_tokens.deployment_id,
        deployment_tokens.token_class,
        deployment_tokens.tokens,
        cast(
            1000000 * cast(
                case deployment_tokens.token_class
                    when 'input_uncached' then declared.prefill_tokens_per_second
                    when 'input_cache_read' then declared.cached_tokens_per_second
                    when 'output' then declared.decode_tokens_per_second
                end as decimal(28, 6)
            ) as hugeint
        ) as microtokens_per_second
    from deployment_tokens
    inner join declared
        on
            deployment_tokens.usage_date = declared.usage_date
            and deployment_tokens.deployment_id = declared.deployment_id
),

-- Replica-nanoseconds of each class: tokens over the declared tokens per second.
class_work as (
    select
        *,
        case
            when tokens = 0 then 0
            when microtokens_per_second > 0
                then greatest(tokens * 1000000000000000 // microtokens_per_second, 1)
        end as declared_weight
    from class_rates
),

-- What was fitted to own hours, or is declared to split by, weighs first. Without a throughput every token counts the
-- same; so too where a declaration makes a day's work that of a century, which no split by whole numbers below 2^63
-- holds.
class_choices as (
    select
        class_work.*,
        case
            when class_work.tokens = 0 then 0 else class_work.tokens * fitted_weights.token_weight_units
        end as fitted_weight,
        max(fitted_weights.class_weight_method) over deployment_day as fitted_method
    from class_work
    left join fitted_weights
        on
            class_work.usage_date = fitted_weights.usage_date
            and class_work.deployment_id = fitted_weights.deployment_id
            and class_work.token_class = fitted_weights.token_class
    window deployment_day as (partition by class_work.usage_date, class_work.deployment_id)
),

class_methods as (
    select
        *,
        count(declared_weight) over deployment_day = count(*) over deployment_day
        and sum(declared_weight) over deployment_day < 4611686018427387904 as is_declared,
        case
            when
                count(fitted_weight) over deployment_day = count(*) over deployment_day
                and sum(fitted_weight) over deployment_day > 0
                and sum(fitted_weight) over deployment_day < 4611686018427387904
                then fitted_method
        end as chosen_method
    from class_choices
    window deployment_day as (partition by usage_date, deployment_id)
),

class_weights as (
    select
        *,
        coalesce(chosen_method, case when is_declared then 'declared_throughput' else 'token_count' end)
            as class_weight_method,
        case
            when chosen_method is not null then fitted_weight
            when is_declared then declared_weight
            else tokens
        end as weight
    from class_methods
),

class_totals as (
    select
        *,
        sum(weight) over deployment_day as whole_weight,
        sum(declared_weight) over deployment_day as whole_declared_weight,
        sum(tokens) over deployment_day as whole_tokens
    from class_weights
    window deployment_day as (partition by usage_date, deployment_id)
),

class_costs as (
    select
        class_totals.*,
        deployment_costs.provider,
        deployment_costs.cost_measure,
        deployment_costs.full_cost_rc,
        deployment_costs.active_cost_rc,
        cast(replace(cast(abs(deployment_costs.full_cost_rc) as varchar), '.', '') as hugeint) as full_quanta,
        cast(replace(cast(abs(deployment_costs.active_cost_rc) as varchar), '.', '') as hugeint) as active_quanta
    from class_totals
    left join deployment_costs
        on
            class_totals.usage_date = deployment_costs.usage_date
            and class_totals.deployment_id = deployment_costs.deployment_id
    where class_totals.whole_weight > 0
),

class_floors as (
    select
        *,
        full_quanta // whole_weight * weight + full_quanta % whole_weight * weight // whole_weight as full_floor,
        full_quanta % whole_weight * weight % whole_weight as full_remainder,
        active_quanta // whole_weight * weight + active_quanta % whole_weight * weight // whole_weight as active_floor,
        active_quanta % whole_weight * weight % whole_weight as active_remainder
    from class_costs
),

class_shares as (
    select
        *,
        full_floor + case
            when
                row_number() over (
                    partition by usage_date, deployment_id order by full_remainder desc, token_class asc
                ) <= full_quanta - sum(full_floor) over deployment_day
                then 1
            else 0
        end as full_share,
        active_floor + case
            when
                row_number() over (
                    partition by usage_date, deployment_id order by active_remainder desc, token_class asc
                ) <= active_quanta - sum(active_floor) over deployment_day
                then 1
            else 0
        end as active_share
    from class_floors
    window deployment_day as (partition by usage_date, deployment_id)
),

-- Work in replica-seconds against the replica-seconds that stood ready: below the allowed peak one more token is free.
deployment_work as (
    select
        class_totals.usage_date,
        class_totals.deployment_id,
        min(class_totals.class_weight_method) as class_weight_method,
        max(class_totals.whole_tokens) as whole_tokens,
        bool_and(class_totals.is_declared) as is_declared,
        max(class_totals.whole_declared_weight) as whole_declared_weight
    from class_totals
    group by class_totals.usage_date, class_totals.deployment_id
),

self_host_blended as (
    select
        known_days.usage_date,
        known_days.deployment_id,
        declared.model as declared_model,
        deployment_models.served_model,
        deployment_costs.provider,
        deployment_costs.cost_measure,
        deployment_work.whole_tokens as tokens,
        deployment_costs.full_cost_rc,
        deployment_costs.active_cost_rc,
        deployment_work.class_weight_method,
        case
            when deployment_work.is_declared and declared.gpus_per_replica > 0
                then
                    deployment_work.whole_declared_weight
                    < deployment_costs.ready_ms * 1000000 * declared.peak_allowance / declared.gpus_per_replica
            when deployment_costs.loaded_idle_ms > 0 then true
        end as has_spare_capacity
    from known_days
    inner join declared
        on known_days.usage_date = declared.usage_date and known_days.deployment_id = declared.deployment_id
    left join deployment_costs
        on
            known_days.usage_date = deployment_costs.usage_date
            and known_days.deployment_id = deployment_costs.deployment_id
    left join deployment_models
        on
            known_days.usage_date = deployment_models.usage_date
            and known_days.deployment_id = deployment_models.deployment_id
    left join deployment_work
        on
            known_days.usage_date = deployment_work.usage_date
            and known_days.deployment_id = deployment_work.deployment_id
),

self_host as (
    select
        usage_date,
        provider,
        deployment_id,
        coalesce(declared_model, served_model) as model,
        'blended' as token_class,
        cost_measure,
        tokens,
        full_cost_rc,
        active_cost_rc,
        has_spare_capacity,
        class_weight_method
    from self_host_blended
    union all
    select
        class_shares.usage_date,
        class_shares.provider,
        class_shares.deployment_id,
        coalesce(self_host_blended.declared_model, self_host_blended.served_model) as model,
        class_shares.token_class,
        class_shares.cost_measure,
        class_shares.tokens,
        case when class_shares.full_cost_rc < 0 then -1 else 1 end
        * cast(class_shares.full_share as decimal(38, 0)) * cast('0.000000000000000001' as decimal(19, 18))
            as full_cost_rc,
        case when class_shares.active_cost_rc < 0 then -1 else 1 end
        * cast(class_shares.active_share as decimal(38, 0)) * cast('0.000000000000000001' as decimal(19, 18))
            as active_cost_rc,
        self_host_blended.has_spare_capacity,
        class_shares.class_weight_method
    from class_shares
    inner join self_host_blended
        on
            class_shares.usage_date = self_host_blended.usage_date
            and class_shares.deployment_id = self_host_blended.deployment_id
),

-- Only what was both billed and metered has a price; a bill without tokens stays in fct_api_costs_daily.
api_cells as (
    select
        usage_date,
        provider,
        model,
        token_class,
        tokens,
        billed_cost_rc,
        class_split
    from api_costs
    where billed_cost is not null and tokens is not null
),

api as (
    select
        usage_date,
        provider,
        model,
        case when grouping(token_class) = 1 then 'blended' else token_class end as token_class,
        cast(sum(tokens) as hugeint) as tokens,
        case
            when count(*) = count(billed_cost_rc) then cast(sum(billed_cost_rc) as decimal(38, 18))
        end as full_cost_rc,
        -- A bill with one amount for all classes: each token of it weighs alike.
        case when bool_or(class_split = 'token_count') then 'token_count' else 'billed_by_class' end
            as class_weight_method
    from api_cells
    group by grouping sets (
        (usage_date, provider, model, token_class),
        (usage_date, provider, model)
    )
),

lanes as (
    select
        usage_date,
        'self_host' as lane,
        provider,
        deployment_id,
        model,
        token_class,
        cost_measure,
        tokens,
        full_cost_rc,
        active_cost_rc,
        has_spare_capacity,
        class_weight_method
    from self_host
    union all
    select
        usage_date,
        'api' as lane,
        provider,
        cast(null as varchar) as deployment_id,
        model,
        token_class,
        'billed' as cost_measure,
        tokens,
        full_cost_rc,
        full_cost_rc as active_cost_rc,
        cast(null as boolean) as has_spare_capacity,
        class_weight_method
    from api
),

final as (
    select
        usage_date,
        lane,
        provider,
        deployment_id,
        model,
        token_class,
        cost_measure,
        cast(tokens as bigint) as tokens,
        cast(full_cost_rc as decimal(38, 18)) as full_cost_rc,
        cast(active_cost_rc as decimal(38, 18)) as active_cost_rc,
        case when tokens > 0 then cast(full_cost_rc as double) * 1000000 / cast(tokens as double) end
            as full_rc_per_mtok,
        case when tokens > 0 then cast(active_cost_rc as double) * 1000000 / cast(tokens as double) end
            as active_rc_per_mtok,
        case
            when tokens is null or tokens = 0 then null
            when lane = 'self_host' and has_spare_capacity then 0.0
            when lane = 'self_host' and has_spare_capacity is null then null
            else cast(full_cost_rc as double) * 1000000 / cast(tokens as double)
        end as marginal_rc_per_mtok,
        class_weight_method
    from lanes
)

select * from final
