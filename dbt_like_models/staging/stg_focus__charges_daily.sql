-- One row per usage_date, source, account, billing_account_id, billing_period_start_date, invoice_id, invoice_issuer,
-- service_provider, sub_account_id, service, sku, sku_meter, charge_category, charge_class, pricing_category,
-- region_id, resource_id, commitment_discount_id, commitment_discount_status, billing_currency, consumed_unit,
-- pricing_unit.
-- FOCUS charges by the UTC day on which their period starts: a monthly fee, a tax or a purchase stands on its first
-- day. What Google's FOCUS view meters it says as the description (its BigQuery view: sku.description). The four costs
-- stay apart; one that any line of a row leaves out is unknown for the row. So is a quantity, whose whole part is added
-- up by itself: it may come to more than a decimal holds, and is unknown then too.
-- partition: month
with
charges as (
    select * from landed_focus__charges
),

named as (
    select
        usage_date,
        source,
        account,
        billing_account_id,
        cast(billing_period_start as date) as billing_period_start_date,
        invoice_id,
        coalesce(invoice_issuer_name, provider_name, service_provider_name) as invoice_issuer,
        coalesce(service_provider_name, provider_name, invoice_issuer_name) as service_provider,
        sub_account_id,
        service_name as service,
        sku_id as sku,
        case
            when sku_meter is null and starts_with(lower(coalesce(service_provider_name, provider_name)), 'google')
                then charge_description
            else sku_meter
        end as sku_meter,
        case lower(charge_category)
            when 'usage' then 'Usage'
            when 'purchase' then 'Purchase'
            when 'tax' then 'Tax'
            when 'credit' then 'Credit'
            when 'adjustment' then 'Adjustment'
            else charge_category
        end as charge_category,
        case lower(charge_class) when 'correction' then 'Correction' else charge_class end as charge_class,
        case lower(pricing_category)
            when 'standard' then 'Standard'
            when 'dynamic' then 'Dynamic'
            when 'committed' then 'Committed'
            when 'other' then 'Other'
            else pricing_category
        end as pricing_category,
        region_id,
        resource_id,
        commitment_discount_id,
        case lower(commitment_discount_status)
            when 'used' then 'Used'
            when 'unused' then 'Unused'
            else commitment_discount_status
        end as commitment_discount_status,
        billing_currency,
        consumed_unit,
        pricing_unit,
        billed_cost,
        effective_cost,
        list_cost,
        contracted_cost,
        consumed_quantity,
        pricing_quantity
    from charges
),

final as (
    select
        usage_date,
        source,
        account,
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
        cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
        case
            when count(effective_cost) = count(*) then cast(sum(effective_cost) as decimal(38, 18))
        end as effective_cost,
        case when count(list_cost) = count(*) then cast(sum(list_cost) as decimal(38, 18)) end as list_cost,
        case
            when count(contracted_cost) = count(*) then cast(sum(contracted_cost) as decimal(38, 18))
        end as contracted_cost,
        case
            when
                count(consumed_quantity) = count(*)
                and abs(sum(trunc(consumed_quantity))) < 10000000000000000000
                then
                    cast(sum(trunc(consumed_quantity)) as decimal(38, 18))
                    + cast(sum(consumed_quantity - trunc(consumed_quantity)) as decimal(38, 18))
        end as consumed_quantity,
        case
            when
                count(pricing_quantity) = count(*)
                and abs(sum(trunc(pricing_quantity))) < 10000000000000000000
                then
                    cast(sum(trunc(pricing_quantity)) as decimal(38, 18))
                    + cast(sum(pricing_quantity - trunc(pricing_quantity)) as decimal(38, 18))
        end as pricing_quantity,
        count(*) as line_count
    from named
    group by all
)

select * from final
