-- The hours of 28 days in which requests always waited, of the days on which the same thing was declared under the
-- deployment's name. Evidence of a fit are those that count cache reads as the day does: all of them, or none.
with
declared as (
    select
        *,
        coalesce(valid_from_date, date '0001-01-01') as from_date,
        coalesce(valid_to_date, date '9999-12-31') as to_date
    from config_deployments
    where deployment_id = $deployment
),

today as (
    select *
    from declared
    where cast($usage_date as date) >= from_date and cast($usage_date as date) < to_date
),

meant as (
    select if(count(*) > 0, 'all', 'none') as cache_reads_counted
    from fct_token_class_weights_daily
    where
        deployment_id = $deployment
        and usage_date = cast($usage_date as date)
        and token_class = 'input_cache_read'
)

select
    hours.usage_hour_at,
    hours.serving_gpu_milliseconds,
    hours.input_uncached_tokens,
    hours.input_cache_read_tokens,
    hours.output_tokens,
    hours.cache_reads_counted,
    coalesce(hours.cache_reads_counted = meant.cache_reads_counted, true) as is_evidence
from int_deployment_hours as hours
cross join meant
where
    hours.deployment_id = $deployment
    and hours.is_saturated
    and hours.usage_date > cast($usage_date as date) - 28
    and hours.usage_date <= cast($usage_date as date)
    and exists (
        select 1
        from declared
        inner join today
            on
                declared.model is not distinct from today.model
                and declared.gpus_per_replica is not distinct from today.gpus_per_replica
                and declared.gpu_type is not distinct from today.gpu_type
                and declared.bytes_per_parameter is not distinct from today.bytes_per_parameter
        where hours.usage_date >= declared.from_date and hours.usage_date < declared.to_date
    )
order by hours.usage_hour_at
