-- One row per usage_date, source, account, resource_id, tag_value.
-- What FOCUS charges say their resources are tagged with, whatever the tag's key: a machine's name among it, where
-- somebody tagged it so. Tags that are no JSON object say nothing here.
-- partition: month
with
charges as (
    select distinct
        usage_date,
        source,
        account,
        resource_id,
        tags
    from landed_focus__charges
    where resource_id is not null and tags is not null and json_valid(tags)
),

tags as (
    select
        usage_date,
        source,
        account,
        resource_id,
        unnest(json_extract_string(tags, '$.*')) as tag_value
    from charges
),

final as (
    select distinct
        usage_date,
        source,
        account,
        resource_id,
        tag_value
    from tags
    where tag_value is not null and tag_value != ''
)

select * from final
