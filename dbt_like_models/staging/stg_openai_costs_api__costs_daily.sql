-- One row per usage_date, account and every dimension that a charge states.
-- OpenAI's organization costs, in the currency's unit as they come; equal lines are added up. The line item names model
-- and class; no charge names a key.
-- partition: month, days apart
with
lines as (
    select * from landed_openai_costs_api__costs
),

line_items as (
    select * from stg_openai__line_items_daily
),

typed as (
    select
        lines.usage_date,
        lines.account,
        lines.project_id as sub_account_id,
        line_items.raw_model,
        coalesce(line_items.charge_kind, 'other') as charge_kind,
        line_items.token_class,
        line_items.service_tier,
        -- The bill has lines for long contexts, the meter does not tell them apart: they stay in the line's own text.
        cast(null as varchar) as context_window,
        cast(null as varchar) as inference_geo,
        cast(null as varchar) as speed,
        lines.line_item as charge_description,
        lines.quantity_unit,
        lines.currency as billing_currency,
        case
            when regexp_full_match(lines.amount, '-?[0-9]{1,9}([.][0-9]{0,8})?')
                then cast(cast(lines.amount as decimal(18, 8)) as decimal(38, 18))
            else cast(lines.amount as decimal(38, 18))
        end as billed_cost,
        cast(lines.quantity as decimal(38, 18)) as billed_quantity
    from lines
    left join line_items
        on
            lines.usage_date = line_items.usage_date
            and lines.line_item = line_items.raw_line_item
            and lines.quantity_unit is not distinct from line_items.quantity_unit
),

final as (
    select
        usage_date,
        account,
        sub_account_id,
        raw_model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        speed,
        charge_description,
        quantity_unit,
        billing_currency,
        cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
        -- One line without a quantity leaves the sum unknown.
        case
            when count(billed_quantity) = count(*) then cast(sum(billed_quantity) as decimal(38, 18))
        end as billed_quantity,
        count(*) as line_count
    from typed
    group by all
)

select * from final
