-- One row per usage_date, issuer, account, resource_id, cost_measure, billing_currency.
-- What a day of each GPU resource costs and how many GPU-milliseconds that pays for: billed or effective, else, once
-- the day is over, accrued at the agreed rate, for the hours that the issuer says were used or else for all of them. A
-- day whose time is billed has no accrual: the bill supersedes it wholly; nor has a day that the issuer has billed
-- without the resource.
-- partition: month
with
charges as (
    select * from int_gpu_charges_daily
),

days as (
    select * from calendar
),

gpu_resources as (
    select * from config_gpu_resources
),

sources as (
    select * from config_sources
),

used_hours as (
    select * from stg_focus_usage__gpu_hours_daily
),

said_days as (
    select * from int_reported_usage_daily
),

ended_resources as (
    select * from int_gpu_ended_resources_daily
),

charged as (
    select
        usage_date,
        issuer,
        account,
        resource_id,
        cost_measure,
        billing_currency,
        max(host) as declared_host,
        max(gpu_count) as gpu_count,
        sum(gpu_milliseconds) as gpu_ms,
        sum(realized_cost) as realized_cost
    from charges
    where is_gpu_charge
    group by usage_date, issuer, account, resource_id, cost_measure, billing_currency
),

-- A credit that comes before the bill takes nothing of what is agreed away: it stands beside it.
charged_days as (
    select distinct
        usage_date,
        issuer,
        resource_id
    from charges
    where is_gpu_charge and charge_kind not in ('credit', 'discount')
),

-- The account of an agreed resource is the issuer's only one; with several, nobody has said which.
issuer_accounts as (
    select
        issuer,
        case when count(distinct account) = 1 then min(account) end as account
    from sources
    where role is distinct from 'control' and issuer is not null
    group by issuer
),

-- What the issuer says was used of a resource, where it says that without a cost. A day of it that it does not name is
-- as agreed.
used as (
    select
        used_hours.usage_date,
        sources.issuer,
        used_hours.resource_id,
        case
            when count(*) = count(used_hours.used_hours)
                then sum(case when used_hours.is_gpu_time then used_hours.used_hours else 0 end)
        end as gpu_hours,
        sum(case when used_hours.is_gpu_time then 0 else used_hours.used_hours end) as instance_hours,
        bool_or(not used_hours.is_gpu_time) as has_instances
    from used_hours
    inner join said_days
        on used_hours.usage_date = said_days.usage_date and used_hours.account = said_days.account
    inner join sources
        on used_hours.account = sources.account and sources.source = 'focus_usage'
    where sources.role is distinct from 'control'
    group by used_hours.usage_date, sources.issuer, used_hours.resource_id
),

-- One of a pool's instances has a part of its GPUs.
pools as (
    select
        issuer,
        resource_id,
        valid_from_date,
        valid_to_date,
        count(distinct host) as host_count
    from config_gpu_pool_hosts
    group by issuer, resource_id, valid_from_date, valid_to_date
),

agreed_days as (
    select
        days.usage_date,
        gpu_resources.*,
        case
            when pools.host_count is null then gpu_resources.gpu_count
            when gpu_resources.gpu_count % pools.host_count = 0 then gpu_resources.gpu_count // pools.host_count
        end as instance_gpu_count
    from gpu_resources
    inner join days
        on
            days.is_over
            and days.usage_date >= coalesce(gpu_resources.valid_from_date, days.usage_date)
            and days.usage_date < coalesce(gpu_resources.valid_to_date, days.usage_date + 1)
    left join pools
        on
            gpu_resources.issuer = pools.issuer
            and gpu_resources.resource_id = pools.resource_id
            and gpu_resources.valid_from_date is not distinct from pools.valid_from_date
            and gpu_resources.valid_to_date is not distinct from pools.valid_to_date
),

agreed_times as (
    select
        agreed_days.*,
        cast(
            case
                when used.has_instances then used.gpu_hours + used.instance_hours * agreed_days.instance_gpu_count
                else used.gpu_hours
            end as decimal(38, 18)
        ) as used_gpu_hours
    from agreed_days
    left join used
        on
            agreed_days.usage_date = used.usage_date
            and agreed_days.issuer = used.issuer
            and agreed_days.resource_id = used.resource_id
),

-- A decimal has always 18 digits after its point: without it, it counts quanta of 10^-18.
agreed_quanta as (
    select
        *,
        cast(replace(cast(contract_rate_per_gpu_hour as varchar), '.', '') as hugeint) as rate_quanta,
        cast(replace(cast(used_gpu_hours as varchar), '.', '') as hugeint) as hours_quanta,
        cast(1000000000000000000 as hugeint) as one
    from agreed_times
),

agreed as (
    select
        agreed_quanta.usage_date,
        agreed_quanta.issuer,
        issuer_accounts.account,
        agreed_quanta.resource_id,
        'accrued' as cost_measure,
        case when agreed_quanta.used_gpu_hours is null then 'agreed' else 'reported' end as accrual_basis,
        agreed_quanta.currency as billing_currency,
        agreed_quanta.host as declared_host,
        agreed_quanta.gpu_count,
        case
            when agreed_quanta.used_gpu_hours is null then cast(agreed_quanta.gpu_count * 86400000 as hugeint)
            else cast(round(agreed_quanta.used_gpu_hours * 3600000) as hugeint)
        end as gpu_ms,
        -- What is agreed is for all of its GPUs around the clock, unless the issuer says what was used: rate x hours to
        -- the last digit, half a quantum up. A rate that no GPU has, and its sum, is unknown there.
        case
            when agreed_quanta.used_gpu_hours is null
                then cast(
                    agreed_quanta.contract_rate_per_gpu_hour * (agreed_quanta.gpu_count * 24) as decimal(38, 18)
                )
            when agreed_quanta.contract_rate_per_gpu_hour < 1000000
                then cast(
                    agreed_quanta.rate_quanta // one * agreed_quanta.hours_quanta
                    + agreed_quanta.rate_quanta % one * (agreed_quanta.hours_quanta // one)
                    + (agreed_quanta.rate_quanta % one * (agreed_quanta.hours_quanta % one) * 2 + one) // (one * 2)
                    as decimal(38, 0)
                ) * cast('0.000000000000000001' as decimal(19, 18))
        end as realized_cost
    from agreed_quanta
    left join issuer_accounts
        on agreed_quanta.issuer = issuer_accounts.issuer
),

united as (
    select * from charged
    union all by name
    select agreed.*
    from agreed
    left join charged_days
        on
            agreed.usage_date = charged_days.usage_date
            and agreed.issuer = charged_days.issuer
            and agreed.resource_id = charged_days.resource_id
    left join ended_resources
        on
            agreed.usage_date = ended_resources.usage_date
            and agreed.issuer = ended_resources.issuer
            and agreed.resource_id = ended_resources.resource_id
    where charged_days.resource_id is null and ended_resources.resource_id is null
),

agreed_resources as (
    select
        usage_date,
        issuer,
        resource_id,
        max(declared_host) as declared_host,
        max(gpu_count) as gpu_count
    from agreed
    group by usage_date, issuer, resource_id
),

final as (
    select
        united.usage_date,
        united.issuer,
        united.account,
        united.resource_id,
        united.cost_measure,
        united.accrual_basis,
        united.billing_currency,
        coalesce(united.declared_host, agreed_resources.declared_host) as declared_host,
        cast(coalesce(united.gpu_count, agreed_resources.gpu_count) as bigint) as gpu_count,
        cast(united.gpu_ms as bigint) as gpu_milliseconds,
        cast(united.realized_cost as decimal(38, 18)) as realized_cost
    from united
    left join agreed_resources
        on
            united.usage_date = agreed_resources.usage_date
            and united.issuer = agreed_resources.issuer
            and united.resource_id = agreed_resources.resource_id
)

select * from final
