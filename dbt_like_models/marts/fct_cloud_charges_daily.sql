-- One row per usage_date, source, dataset, account, billing_account_id, billing_period_start_date, invoice_id,
-- invoice_issuer, service_provider, sub_account_id, service, sku, sku_meter, charge_category, charge_class,
-- pricing_category, region_id, resource_id, commitment_discount_id, commitment_discount_status, billing_currency,
-- consumed_unit, pricing_unit.
-- Cloud bills, charge by charge, with the reporting currency beside the issuer's. Sum only what `is_book`; what
-- `is_gpu_resource` is in the GPU cost tables too.
-- partition: month, days apart
with
charges as (
    select * from int_cloud_charges_daily
),

rates as (
    select * from int_fx_rates_daily
),

reporting as (
    select
        days.usage_date,
        min(config_company.reporting_currency) as reporting_currency
    from (select distinct usage_date from charges) as days
    inner join config_company
        on
            (config_company.valid_from_date is null or days.usage_date >= config_company.valid_from_date)
            and (config_company.valid_to_date is null or days.usage_date < config_company.valid_to_date)
    group by days.usage_date
    having count(distinct config_company.reporting_currency) = 1
),

own_charges as (
    select
        charges.*,
        charges.billed_cost as billed_cost_rc,
        charges.effective_cost as effective_cost_rc,
        charges.list_cost as list_cost_rc,
        charges.contracted_cost as contracted_cost_rc
    from charges
    inner join reporting
        on charges.usage_date = reporting.usage_date and charges.billing_currency = reporting.reporting_currency
),

foreign_charges as (
    select
        charges.*,
        cast(replace(cast(abs(charges.billed_cost) as varchar), '.', '') as hugeint) as billed_quanta,
        cast(replace(cast(abs(charges.effective_cost) as varchar), '.', '') as hugeint) as effective_quanta,
        cast(replace(cast(abs(charges.list_cost) as varchar), '.', '') as hugeint) as list_quanta,
        cast(replace(cast(abs(charges.contracted_cost) as varchar), '.', '') as hugeint) as contracted_quanta
    from charges
    left join reporting
        on charges.usage_date = reporting.usage_date
    where charges.billing_currency is distinct from reporting.reporting_currency
),

-- Quanta of 10^-18 x multiplier / divisor, half away from zero, the remainder apart so that only what is too large to
-- be held overflows, and that stops the build.
converted_charges as (
    select
        foreign_charges.* exclude (billed_quanta, effective_quanta, list_quanta, contracted_quanta),
        case when foreign_charges.billed_cost < 0 then -1 else 1 end
        * cast(
            foreign_charges.billed_quanta // rates.divisor * rates.multiplier
            + (foreign_charges.billed_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor)
            // (rates.divisor * 2) as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as billed_cost_rc,
        case when foreign_charges.effective_cost < 0 then -1 else 1 end
        * cast(
            foreign_charges.effective_quanta // rates.divisor * rates.multiplier
            + (foreign_charges.effective_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor)
            // (rates.divisor * 2) as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as effective_cost_rc,
        case when foreign_charges.list_cost < 0 then -1 else 1 end
        * cast(
            foreign_charges.list_quanta // rates.divisor * rates.multiplier
            + (foreign_charges.list_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor)
            // (rates.divisor * 2) as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as list_cost_rc,
        case when foreign_charges.contracted_cost < 0 then -1 else 1 end
        * cast(
            foreign_charges.contracted_quanta // rates.divisor * rates.multiplier
            + (foreign_charges.contracted_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor)
            // (rates.divisor * 2) as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as contracted_cost_rc
    from foreign_charges
    left join rates
        on foreign_charges.usage_date = rates.usage_date and foreign_charges.billing_currency = rates.currency
),

united as (
    select * from own_charges
    union all by name
    select * from converted_charges
),

final as (
    select
        usage_date,
        source,
        dataset,
        account,
        issuer,
        role,
        is_book,
        is_gpu_resource,
        per_use_service,
        billing_account_id,
        billing_period_start_date,
        invoice_id,
        invoice_issuer,
        service_provider,
        sub_account_id,
        service,
        sku,
        sku_meter,
        charge_category,
        charge_class,
        pricing_category,
        region_id,
        resource_id,
        commitment_discount_id,
        commitment_discount_status,
        billing_currency,
        consumed_unit,
        pricing_unit,
        billed_cost,
        effective_cost,
        list_cost,
        contracted_cost,
        cast(billed_cost_rc as decimal(38, 18)) as billed_cost_rc,
        cast(effective_cost_rc as decimal(38, 18)) as effective_cost_rc,
        cast(list_cost_rc as decimal(38, 18)) as list_cost_rc,
        cast(contracted_cost_rc as decimal(38, 18)) as contracted_cost_rc,
        case when billed_cost_rc is null then 'unconverted' else 'converted' end as conversion_status,
        consumed_quantity,
        pricing_quantity,
        line_count
    from united
)

select * from final
