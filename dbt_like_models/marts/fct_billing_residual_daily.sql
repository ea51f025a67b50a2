-- One row per usage_date, issuer, account, resource_id, billing_currency.
-- What the bill of a GPU resource is beyond its GPU-hours at the agreed rate: beside the lines of the bill, which are
-- all of it without this. Below zero where the bill is less. Of days on which a rate is agreed in the bill's currency.
-- partition: month, days apart
with
bills as (
    select * from int_gpu_resource_costs_daily
    where cost_measure = 'billed' and resource_id is not null
),

agreements as (
    select * from config_gpu_resources
    where contract_rate_per_gpu_hour is not null
),

rated as (
    select
        bills.usage_date,
        bills.issuer,
        bills.account,
        bills.resource_id,
        bills.billing_currency,
        bills.gpu_milliseconds,
        agreements.contract_rate_per_gpu_hour,
        bills.realized_cost as billed_cost,
        cast(replace(cast(agreements.contract_rate_per_gpu_hour as varchar), '.', '') as hugeint) as rate_quanta
    from bills
    inner join agreements
        on
            bills.issuer = agreements.issuer
            and bills.resource_id = agreements.resource_id
            and bills.billing_currency = agreements.currency
            and bills.usage_date >= coalesce(agreements.valid_from_date, bills.usage_date)
            and bills.usage_date < coalesce(agreements.valid_to_date, bills.usage_date + 1)
),

-- Quanta of 10^-18, half up, the remainder apart so that only what is too large to be held overflows.
costs as (
    select
        * exclude (rate_quanta),
        cast(
            rate_quanta // 3600000 * gpu_milliseconds
            + (rate_quanta % 3600000 * gpu_milliseconds * 2 + 3600000) // 7200000
            as decimal(38, 0)
        ) * cast('0.000000000000000001' as decimal(19, 18)) as rated_cost
    from rated
),

-- Hours that nobody knows have no rated cost, and so no residual.
final as (
    select
        usage_date,
        issuer,
        account,
        resource_id,
        billing_currency,
        gpu_milliseconds,
        contract_rate_per_gpu_hour,
        billed_cost,
        cast(rated_cost as decimal(38, 18)) as rated_cost,
        cast(billed_cost - rated_cost as decimal(38, 18)) as billing_residual_cost
    from costs
)

select * from final
