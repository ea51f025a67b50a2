-- One row per usage_date, account, resource_id, tag_key.
-- What bills say that a resource is tagged with that day, of the keys that rules of `ownership` name. A key with two
-- values in one day has none: which of them owned which part of the day no bill says.
-- partition: month, days apart
-- rows of: config_ownership_tags
with
tag_keys as (
    -- A rule may be of days before it was written down.
    select distinct tag_key from config_ownership_tags
),

aws_lines as (
    select distinct
        usage_date,
        account,
        line_item_resource_id as resource_id,
        resource_tags as tags
    from landed_aws_cur2__lines
    where line_item_resource_id is not null and resource_tags is not null
),

focus_charges as (
    select distinct
        usage_date,
        account,
        resource_id,
        tags
    from landed_focus__charges
    where resource_id is not null and tags is not null
),

-- What is no JSON object is no tag, in whichever order a query looks at its conditions.
tagged as (
    select
        usage_date,
        account,
        resource_id,
        case when json_valid(tags) then case when json_type(tags) = 'OBJECT' then tags end end as tags
    from (
        select * from aws_lines
        union
        select * from focus_charges
    ) as stated
),

entries as (
    select
        usage_date,
        account,
        resource_id,
        unnest(json_keys(tags)) as tag_key,
        unnest(json_extract_string(tags, '$.*')) as tag_value
    from tagged
    where tags is not null
),

final as (
    select
        entries.usage_date,
        entries.account,
        entries.resource_id,
        entries.tag_key,
        min(entries.tag_value) as tag_value
    from entries
    inner join tag_keys
        on entries.tag_key = tag_keys.tag_key
    where entries.tag_value is not null and entries.tag_value != ''
    group by entries.usage_date, entries.account, entries.resource_id, entries.tag_key
    having count(distinct entries.tag_value) = 1
)

select * from final
