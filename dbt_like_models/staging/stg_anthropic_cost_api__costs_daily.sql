-- One row per usage_date, account and every dimension the cost report states.
-- Anthropic's cost report with cents made dollars and equal lines added up: the report has no line id, so two lines
-- with equal dimensions are two charges, never one said twice.
-- partition: month, days apart
with
lines as (
    select * from landed_anthropic_cost_api__costs
),

classes as (
    select * from token_classes
    where provider = 'anthropic'
),

typed as (
    select
        lines.usage_date,
        lines.account,
        lines.workspace_id as sub_account_id,
        lines.model as raw_model,
        lines.cost_type as raw_cost_type,
        case
            when lines.cost_type in ('tokens', 'web_search', 'code_execution') then lines.cost_type
            else 'other'
        end as charge_kind,
        case
            when lines.cost_type = 'tokens' then coalesce(classes.token_class, lines.token_type)
        end as token_class,
        lines.service_tier,
        lines.context_window,
        lines.inference_geo,
        lines.speed,
        lines.description as charge_description,
        lines.currency as billing_currency,
        -- The API states the currency's lowest unit: "123.45" is 1.2345 dollars. Text to a wide decimal is 200 times
        -- slower than to a narrow one (12 microseconds a value, duckdb 1.5.5), so what fits a narrow one goes there.
        case
            when regexp_full_match(lines.amount, '-?[0-9]{1,9}([.][0-9]{0,8})?')
                then cast(cast(lines.amount as decimal(18, 8)) as decimal(36, 16))
            else cast(lines.amount as decimal(36, 16))
        end * 0.01 as billed_cost
    from lines
    left join classes
        on lines.token_type = classes.raw_name
),

final as (
    select
        usage_date,
        account,
        sub_account_id,
        raw_model,
        raw_cost_type,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        speed,
        charge_description,
        billing_currency,
        cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
        count(*) as line_count
    from typed
    group by all
)

select * from final
