-- One row per usage_date, account, asset_id, charge_kind.
-- What a day of owned GPUs costs by declaration: depreciation, hosting and power. Effective, never billed.
-- partition: month
with
owned_charges as (
    select * from landed_owned_gpus__charges
),

final as (
    select
        usage_date,
        account,
        asset_id,
        host,
        charge_kind,
        cast(max(cast(gpu_count as decimal(38, 18))) as bigint) as gpu_count,
        cast(sum(cast(quantity as decimal(38, 18))) as decimal(38, 18)) as quantity,
        min(unit) as raw_unit,
        cast(sum(cast(amount as decimal(38, 18))) as decimal(38, 18)) as effective_cost,
        currency as billing_currency
    from owned_charges
    group by usage_date, account, asset_id, host, charge_kind, currency
)

select * from final
