-- The objects whose scrapes a deployment's counters come from, with how many of them.
with
scrapes as (
    select
        usage_date,
        host,
        target,
        model_name,
        object_number,
        object_row
    from traced_nvml_spool__engine_scrapes
    union all
    select
        usage_date,
        host,
        target,
        model_name,
        object_number,
        object_row
    from traced_stg_prometheus__engine_scrapes
)

select
    scrapes.object_number,
    min(scrapes.object_row) as object_row,
    count(*) as scrape_count
from scrapes
inner join int_engine_deployments_daily as deployments
    on
        scrapes.usage_date = deployments.usage_date
        and scrapes.host = deployments.host
        and scrapes.target = deployments.target
        and scrapes.model_name = deployments.model_name
where deployments.deployment_id = $deployment
group by scrapes.object_number
order by scrapes.object_number
