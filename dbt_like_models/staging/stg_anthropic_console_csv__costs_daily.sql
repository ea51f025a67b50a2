-- One row per usage_date, account and every dimension the Console's cost export states.
-- Anthropic's Console CSV, in dollars rounded to cents by the Console; equal lines are added up, never merged into one.
-- partition: month
with
-- An empty field is the file's way of saying nothing.
lines as (
    select
        usage_date,
        account,
        cost_usd,
        list_price_usd,
        nullif(workspace, '') as workspace,
        nullif(api_key, '') as api_key,
        nullif(api_key_id, '') as api_key_id,
        nullif(model, '') as model,
        nullif(usage_type, '') as usage_type,
        nullif(context_window, '') as context_window,
        nullif(token_type, '') as token_type,
        nullif(cost_type, '') as cost_type,
        nullif(inference_geo, '') as inference_geo,
        nullif(speed, '') as speed
    from landed_anthropic_console_csv__costs
),

classes as (
    select * from token_classes
    where provider = 'anthropic'
),

typed as (
    select
        lines.usage_date,
        lines.account,
        -- The Console prints the default workspace by this name; the API prints null.
        nullif(lines.workspace, 'Default') as sub_account_id,
        -- Files before August 2026 have labels only.
        coalesce(lines.api_key_id, lines.api_key) as api_key_id,
        lines.model as raw_model,
        lines.cost_type as raw_cost_type,
        case
            when lines.cost_type = 'token' then 'tokens'
            when lines.cost_type in ('web_search', 'code_execution') then lines.cost_type
            else 'other'
        end as charge_kind,
        case
            when lines.cost_type = 'token' then coalesce(classes.token_class, lines.token_type)
        end as token_class,
        case
            when lines.usage_type = 'message' then 'standard'
            else lines.usage_type
        end as service_tier,
        case
            when lines.context_window = '≤ 200k' then '0-200k'
            when lines.context_window = '> 200k' then '200k-1M'
            else lines.context_window
        end as context_window,
        lines.inference_geo,
        lines.speed,
        'USD' as billing_currency,
        case
            when regexp_full_match(lines.cost_usd, '-?[0-9]{1,9}([.][0-9]{0,8})?')
                then cast(cast(lines.cost_usd as decimal(18, 8)) as decimal(38, 18))
            else cast(lines.cost_usd as decimal(38, 18))
        end as billed_cost,
        case
            when regexp_full_match(lines.list_price_usd, '-?[0-9]{1,9}([.][0-9]{0,8})?')
                then cast(cast(lines.list_price_usd as decimal(18, 8)) as decimal(38, 18))
            else cast(lines.list_price_usd as decimal(38, 18))
        end as list_cost
    from lines
    left join classes
        on lines.token_type = classes.raw_name
),

final as (
    select
        usage_date,
        account,
        sub_account_id,
        api_key_id,
        raw_model,
        raw_cost_type,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        speed,
        billing_currency,
        cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
        -- One line without a list price leaves the sum unknown.
        case when count(list_cost) = count(*) then cast(sum(list_cost) as decimal(38, 18)) end as list_cost,
        count(*) as line_count
    from typed
    group by all
)

select * from final
