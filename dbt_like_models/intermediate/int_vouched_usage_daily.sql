-- One row per usage_date, account, activity.
-- Days of which OpenAI's usage API speaks for an activity, whole: an export beside it is not counted there. A table of
-- its own, because the coverage of some source is news each morning, and this seldom is: what reads it stays as it was.
-- partition: month, days apart
with
coverage as (
    select * from landed_coverage
),

final as (
    select distinct
        usage_date,
        account,
        dataset as activity
    from coverage
    where source = 'openai_usage_api' and is_complete
)

select * from final
