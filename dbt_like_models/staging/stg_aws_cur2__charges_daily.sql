-- One row per usage_date, source, account, billing_account_id, billing_period_start_date, invoice_id, invoice_issuer,
-- service_provider, sub_account_id, service, sku, sku_meter, charge_category, charge_class, pricing_category,
-- region_id, resource_id, commitment_discount_id, commitment_discount_status, billing_currency, consumed_unit,
-- pricing_unit.
-- AWS's cost and usage lines added up by UTC day, in FOCUS's words. Billed is line_item_unblended_cost of every line
-- type, tax included: what the invoices sum to. Effective spreads commitments over what they covered: a covered line at
-- its plan's or reservation's effective cost, the fee itself 0, and what it left unused on a row of its own (AWS, CUR
-- query library, amortized cost: the unused part of a plan is savings_plan_total_commitment_to_date less used; read
-- 2026-11-21). The net columns say once more, by line, what a private discount's own lines take off: neither cost
-- reads them, so that a discount counts once and every invoice sums. The bulk rows are read here, in one aggregate (and
-- the tags of instances beside it). A month at a time: every refresh restates its whole month, in files without an
-- order, so that each day would read them all again.
-- partition: month
with
lines as (
    select * from landed_aws_cur2__lines
),

sorted_out as not materialized (
    select
        *,
        line_item_line_item_type in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage') as is_usage,
        line_item_line_item_type = 'DiscountedUsage' as is_reserved,
        line_item_line_item_type = 'SavingsPlanCoveredUsage' as is_covered,
        line_item_line_item_type in (
            'Fee', 'RIFee', 'SavingsPlanRecurringFee', 'SavingsPlanUpfrontFee'
        ) as is_fee
    from lines
    -- A line of a split allocation without a cost shows a part of another line's: it charges nothing.
    where line_item_unblended_cost is not null
),

typed as not materialized (
    select
        usage_date,
        source,
        account,
        bill_payer_account_id as billing_account_id,
        cast(bill_billing_period_start_date as date) as billing_period_start_date,
        bill_invoice_id as invoice_id,
        coalesce(bill_invoicing_entity, line_item_legal_entity, 'AWS') as invoice_issuer,
        line_item_usage_account_id as sub_account_id,
        -- A model that the marketplace sells is named by its listing alone, which FOCUS calls the service too.
        case
            when product_product_name like '%(Amazon Bedrock Edition)%' then product_product_name
            else coalesce(line_item_product_code, product_servicecode)
        end as service,
        product_sku as sku,
        line_item_usage_type as sku_meter,
        case
            when is_usage then 'Usage'
            when is_fee then 'Purchase'
            when line_item_line_item_type = 'Refund' or ends_with(line_item_line_item_type, 'Discount')
                then 'Adjustment'
            -- Tax and Credit are FOCUS's words too; a type that AWS adds keeps its own.
            else line_item_line_item_type
        end as charge_category,
        case
            when line_item_line_item_type = 'Refund' or bill_bill_type = 'Refund' then 'Correction'
        end as charge_class,
        case
            when is_reserved or is_covered then 'Committed'
            when not is_usage then null
            when contains(line_item_usage_type, 'SpotUsage') then 'Dynamic'
            when pricing_term = 'OnDemand' then 'Standard'
        end as pricing_category,
        product_region_code as region_id,
        -- The fee of a capacity block may name its reservation alone.
        case
            when is_fee then coalesce(line_item_resource_id, capacity_reservation_capacity_reservation_arn)
            else line_item_resource_id
        end as resource_id,
        coalesce(reservation_reservation_a_r_n, savings_plan_savings_plan_a_r_n) as commitment_discount_id,
        case when is_reserved or is_covered then 'Used' end as commitment_discount_status,
        line_item_currency_code as billing_currency,
        -- Only use has a quantity and a list price, whatever other lines hold there: a tax line says 1.
        case when is_usage then pricing_unit end as used_unit,
        -- AWS prices what a Savings Plan covers as on demand and takes it back: on the invoice it is nothing.
        case when is_covered then 0 else line_item_unblended_cost end as billed_cost,
        case when is_covered then line_item_unblended_cost end as covered_cost,
        case
            when is_covered then savings_plan_savings_plan_effective_cost
            when is_reserved then reservation_effective_cost
            when is_usage then line_item_unblended_cost
            when line_item_line_item_type = 'SavingsPlanNegation' then 0
            when is_fee and (line_item_line_item_type != 'Fee' or reservation_reservation_a_r_n is not null) then 0
            else line_item_unblended_cost
        end as effective_cost,
        case
            when not is_fee then 0
            when line_item_line_item_type = 'RIFee'
                then reservation_unused_amortized_upfront_fee_for_billing_period + reservation_unused_recurring_fee
            when line_item_line_item_type = 'SavingsPlanRecurringFee'
                then savings_plan_total_commitment_to_date - savings_plan_used_commitment
            else 0
        end as unused_cost,
        case when is_usage then pricing_public_on_demand_cost end as list_cost,
        case when is_usage then line_item_usage_amount end as used_quantity
    from sorted_out
),

added_up as (
    select
        usage_date,
        source,
        account,
        billing_account_id,
        billing_period_start_date,
        invoice_id,
        invoice_issuer,
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
        used_unit,
        sum(billed_cost) as billed_cost,
        sum(covered_cost) as covered_cost,
        case when count(effective_cost) = count(*) then sum(effective_cost) end as effective_cost,
        case when count(unused_cost) = count(*) then sum(unused_cost) end as unused_cost,
        case when count(list_cost) = count(*) then sum(list_cost) end as list_cost,
        case when count(used_quantity) = count(*) then sum(used_quantity) end as used_quantity,
        count(*) as line_count
    from typed
    group by all
),

-- What a plan covered, as on demand, meets its negation here, on no resource. What is left of the two should be
-- nothing; it stays in the sum of the invoice.
taken_back as (
    select
        usage_date,
        source,
        account,
        billing_account_id,
        billing_period_start_date,
        invoice_id,
        invoice_issuer,
        'Usage' as charge_category,
        commitment_discount_id,
        billing_currency,
        sum(case when charge_category = 'SavingsPlanNegation' then billed_cost else covered_cost end) as billed_cost,
        cast(0 as decimal(38, 18)) as effective_cost,
        sum(case when charge_category = 'SavingsPlanNegation' then line_count else 0 end) as line_count
    from added_up
    where charge_category = 'SavingsPlanNegation' or covered_cost is not null
    group by
        usage_date, source, account, billing_account_id, billing_period_start_date, invoice_id, invoice_issuer,
        commitment_discount_id, billing_currency
),

-- What a commitment cost and nothing was used for. The fee is the purchase; this is the use not made of it.
unused as (
    select
        * exclude (
            charge_category, pricing_category, commitment_discount_status, billed_cost, effective_cost, line_count
        ),
        'Usage' as charge_category,
        'Committed' as pricing_category,
        'Unused' as commitment_discount_status,
        0 as billed_cost,
        unused_cost as effective_cost,
        0 as line_count
    from added_up
    where charge_category = 'Purchase' and unused_cost is distinct from 0
),

united as (
    select *
    from added_up
    where charge_category != 'SavingsPlanNegation'
    union all by name
    select * from taken_back
    union all by name
    select * from unused
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
        'AWS' as service_provider,
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
        used_unit as consumed_unit,
        used_unit as pricing_unit,
        cast(billed_cost as decimal(38, 18)) as billed_cost,
        cast(effective_cost as decimal(38, 18)) as effective_cost,
        cast(list_cost as decimal(38, 18)) as list_cost,
        -- The report has no such column.
        cast(null as decimal(38, 18)) as contracted_cost,
        cast(used_quantity as decimal(38, 18)) as consumed_quantity,
        cast(used_quantity as decimal(38, 18)) as pricing_quantity,
        cast(line_count as bigint) as line_count
    from united
)

select * from final
