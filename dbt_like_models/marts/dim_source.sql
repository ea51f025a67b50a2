-- One row per source, account, dataset.
-- Every configured or landed dataset, what it covers, and since when it is silent. What never delivered has no dates.
-- partition: none
with
landed as (
    select
        source,
        account,
        dataset,
        min(usage_date) as first_usage_date,
        max(usage_date) as last_usage_date,
        cast(sum(row_count) as bigint) as row_count
    from landed_coverage
    where is_complete
    group by all
    union all
    select
        'ecb_rates' as source,
        account,
        'reference_rates' as dataset,
        min(rate_date) as first_usage_date,
        max(rate_date) as last_usage_date,
        count(*) as row_count
    from stg_ecb_rates__rates_daily
    group by account
),

last_over as (
    select max(usage_date) as last_over_date
    from calendar
    where is_over
),

final as (
    select
        coalesce(landed.source, config_sources.source) as source,
        coalesce(landed.account, config_sources.account) as account,
        coalesce(landed.dataset, config_sources.dataset) as dataset,
        config_sources.issuer,
        config_sources.role,
        coalesce(config_sources.role, 'book') != 'control'
        and coalesce(config_sources.settles_days, true) as is_waited_for,
        landed.first_usage_date,
        landed.last_usage_date,
        landed.row_count,
        coalesce(landed.dataset, config_sources.dataset) = 'invoice'
        and not coalesce(config_sources.settles_days, false) as is_invoice,
        -- An invoice comes when it comes. Rates are not published every day: the last one serves the days after it.
        case
            when is_invoice then null
            when landed.last_usage_date + if(landed.source = 'ecb_rates', 7, 0) < last_over.last_over_date
                then landed.last_usage_date + 1
        end as silent_since_date
    from landed
    full outer join config_sources
        on
            landed.source = config_sources.source
            and landed.account = config_sources.account
            and landed.dataset = config_sources.dataset
    cross join last_over
)

select * from final
