-- One row per usage_date, raw_line_item, quantity_unit.
-- What a line item of an OpenAI bill says: `[tier | ]model[ modality], class[, long context]`, read leniently, since it
-- is free text. What is not recognised is `other`; its text stays beside the charge. A line that names no tier is for
-- the standard one: lines of flex and priority processing say so ("flex | gpt-5-mini-2025-08-07, input").
-- Audio, and images that are made, are classes of their own. Image input stays with text: the bill of a chat model
-- prices both alike and does not tell them apart.
-- partition: month, days apart
with
stated as (
    select
        usage_date,
        line_item as raw_line_item,
        quantity_unit
    from landed_openai_costs_api__costs
    union
    select
        usage_date,
        line_item as raw_line_item,
        quantity_unit
    from landed_openai_dashboard_csv__cost
),

classes as (
    select * from token_classes
    where provider = 'openai'
),

prefixed as (
    select
        usage_date,
        raw_line_item,
        quantity_unit,
        lower(trim(nullif(regexp_extract(raw_line_item, '^([^|]*)[|]', 1), ''))) as prefix,
        trim(regexp_replace(regexp_replace(raw_line_item, '^[^|]*[|]', ''), '(?i), *long context *$', '')) as item
    from stated
    where raw_line_item is not null
),

split as (
    select
        *,
        trim(regexp_extract(item, '^([^,]*),', 1)) as model_words,
        replace(lower(trim(regexp_extract(item, '^[^,]*,(.*)$', 1))), '_', ' ') as class_words,
        coalesce(prefix, 'standard') in ('standard', 'flex', 'priority', 'fast', 'batch', 'scale') as is_tier_known,
        coalesce(quantity_unit, 'tokens') in ('tokens', '1000_tokens') as may_be_tokens,
        coalesce(quantity_unit in ('tokens', '1000_tokens'), false) as is_in_tokens
    from prefixed
),

named as (
    select
        split.*,
        classes.token_class as known_class,
        nullif(regexp_extract(lower(split.model_words), ' (text|audio|image)$', 1), '') as modality,
        nullif(
            regexp_extract(
                regexp_replace(split.model_words, '(?i) (text|audio|image)$', ''), '^[A-Za-z0-9][A-Za-z0-9._:/-]*$'
            ),
            ''
        ) as raw_model
    from split
    left join classes
        on split.class_words = classes.raw_name
),

kinds as (
    select
        *,
        case
            when regexp_matches(lower(item), '^web search') then 'web_search'
            when regexp_matches(lower(item), '^code interpreter') then 'code_execution'
            when
                is_tier_known
                and raw_model is not null
                and ((known_class is not null and may_be_tokens) or (class_words != '' and is_in_tokens))
                then 'tokens'
            else 'other'
        end as charge_kind
    from named
),

final as (
    select
        usage_date,
        raw_line_item,
        quantity_unit,
        raw_model,
        charge_kind,
        case
            when charge_kind != 'tokens' then null
            when modality = 'audio' and known_class in ('input_uncached', 'input_cache_read', 'output')
                then known_class || '_audio'
            when modality = 'image' and known_class = 'output' then 'output_image'
            else coalesce(known_class, class_words)
        end as token_class,
        case when charge_kind = 'tokens' then coalesce(prefix, 'standard') end as service_tier
    from kinds
)

select * from final
