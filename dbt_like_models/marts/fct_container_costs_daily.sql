-- One row per usage_date, source, account, sub_account_id, resource_id, part, container_id, cluster, namespace,
-- workload_type, workload, tags, billing_currency.
-- What each server cost by the pods and tasks that ran on it, as AWS splits it, with the reporting currency beside the
-- issuer's. All parts of a server add up to its own effective cost, which is in fct_cloud_charges_daily and of a GPU
-- server in the GPU tables: this adds to no sum.
-- partition: month, days apart
with
costs as (
    select * from stg_aws_cur2__container_costs_daily
),

rates as (
    select * from int_fx_rates_daily
),

books as (
    select
        usage_date,
        source,
        account,
        min(issuer) as issuer,
        bool_or(is_book) as is_book
    from int_cloud_charges_daily
    group by usage_date, source, account
),

sources as (
    select * from config_sources
    where dataset = 'cost_and_usage'
),

reporting as (
    select
        days.usage_date,
        min(config_company.reporting_currency) as reporting_currency
    from (select distinct usage_date from costs) as days
    inner join config_company
        on
            (config_company.valid_from_date is null or days.usage_date >= config_company.valid_from_date)
            and (config_company.valid_to_date is null or days.usage_date < config_company.valid_to_date)
    group by days.usage_date
    having count(distinct config_company.reporting_currency) = 1
),

-- One currency into itself is 1 to 1, whatever is published of it.
rated as (
    select
        costs.*,
        case
            when costs.billing_currency = reporting.reporting_currency then 1 else rates.multiplier
        end as multiplier,
        case when costs.billing_currency = reporting.reporting_currency then 1 else rates.divisor end as divisor
    from costs
    left join reporting
        on costs.usage_date = reporting.usage_date
    left join rates
        on costs.usage_date = rates.usage_date and costs.billing_currency = rates.currency
),

quanta as (
    select
        *,
        cast(replace(cast(abs(split_cost) as varchar), '.', '') as hugeint) as split_quanta,
        cast(replace(cast(abs(unused_cost) as varchar), '.', '') as hugeint) as unused_quanta,
        cast(replace(cast(abs(effective_cost) as varchar), '.', '') as hugeint) as effective_quanta
    from rated
),

-- Quanta of 10^-18 x multiplier / divisor, half away from zero, the remainder apart so that only what is too large to
-- be held overflows, and that stops the build.
converted as (
    select
        * exclude (multiplier, divisor, split_quanta, unused_quanta, effective_quanta),
        case when split_cost < 0 then -1 else 1 end
        * cast(
            split_quanta // divisor * multiplier
            + (split_quanta % divisor * multiplier * 2 + divisor) // (divisor * 2) as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as split_cost_rc,
        case when unused_cost < 0 then -1 else 1 end
        * cast(
            unused_quanta // divisor * multiplier
            + (unused_quanta % divisor * multiplier * 2 + divisor) // (divisor * 2) as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as unused_cost_rc,
        case when effective_cost < 0 then -1 else 1 end
        * cast(
            effective_quanta // divisor * multiplier
            + (effective_quanta % divisor * multiplier * 2 + divisor) // (divisor * 2) as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as effective_cost_rc
    from quanta
),

final as (
    select
        converted.usage_date,
        converted.source,
        converted.account,
        coalesce(books.issuer, sources.issuer, converted.account) as issuer,
        coalesce(books.is_book, coalesce(sources.role, 'book') = 'book') as is_book,
        converted.sub_account_id,
        converted.resource_id,
        converted.part,
        converted.container_id,
        converted.cluster,
        converted.namespace,
        converted.workload_type,
        converted.workload,
        converted.tags,
        converted.billing_currency,
        converted.split_cost,
        converted.unused_cost,
        converted.effective_cost,
        cast(converted.split_cost_rc as decimal(38, 18)) as split_cost_rc,
        cast(converted.unused_cost_rc as decimal(38, 18)) as unused_cost_rc,
        cast(converted.effective_cost_rc as decimal(38, 18)) as effective_cost_rc,
        converted.line_count
    from converted
    left join books
        on
            converted.usage_date = books.usage_date
            and converted.source = books.source
            and converted.account = books.account
    left join sources
        on converted.source = sources.source and converted.account = sources.account
)

select * from final
