-- One row per usage_date, source, account, resource_id, tag_value.
-- What AWS's lines say their instances are tagged with, whatever the tag's key: a machine's name among it, where
-- somebody tagged it so. Tags that are no JSON object say nothing here.
-- partition: month
with
lines as (
    select distinct
        usage_date,
        source,
        account,
        line_item_resource_id as resource_id,
        resource_tags
    from landed_aws_cur2__lines
    where
        line_item_line_item_type in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
        and line_item_resource_id is not null
        and regexp_matches(line_item_usage_type, '(Box|Spot|Dedicated|Host)Usage|Unused(Box|Ded)|Res(ervation)?:')
        and resource_tags is not null
        and json_valid(resource_tags)
),

tags as (
    select
        usage_date,
        source,
        account,
        resource_id,
        unnest(json_extract_string(resource_tags, '$.*')) as tag_value
    from lines
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
