-- One row per usage_date, issuer, resource_id.
-- Declared GPU resources on days that their issuer has billed wholly and for which it bills them no time: they are no
-- longer on the bill, and nothing accrues for them. Where several accounts of the issuer could bill them, all have.
-- partition: month
with
-- What is given back is no sign that a resource was there.
charges as (
    select * from int_gpu_charges_daily
    where is_gpu_charge and charge_kind not in ('credit', 'discount')
),

days as (
    select * from calendar
    where is_over
),

gpu_resources as (
    select * from config_gpu_resources
),

billing_accounts as (
    select distinct
        issuer,
        account
    from config_sources
    where role = 'book' and issuer is not null
),

billed_periods as (
    select * from int_gpu_billed_periods
),

-- A cloud bill grows by the day: it has billed a day once it has settled it.
account_days as (
    select
        days.usage_date,
        billed_periods.account
    from days
    inner join billed_periods
        on
            days.day_start_at >= billed_periods.period_start_at
            and days.day_end_at <= billed_periods.period_end_at
    union
    select
        landed_coverage.usage_date,
        landed_coverage.account
    from landed_coverage
    inner join days
        on landed_coverage.usage_date = days.usage_date
    inner join config_sources
        on
            landed_coverage.source = config_sources.source
            and landed_coverage.dataset = config_sources.dataset
            and landed_coverage.account = config_sources.account
    where
        landed_coverage.dataset = 'cost_and_usage'
        and config_sources.role = 'book'
        and landed_coverage.stated_at >= days.day_end_at + to_hours(coalesce(config_sources.settle_lag_hours, 24))
),

billed_days as (
    select
        days.usage_date,
        billing_accounts.issuer
    from days
    cross join billing_accounts
    left join account_days
        on days.usage_date = account_days.usage_date and billing_accounts.account = account_days.account
    group by days.usage_date, billing_accounts.issuer
    having count(account_days.account) = count(*)
),

charged_days as (
    select distinct
        usage_date,
        issuer,
        resource_id
    from charges
),

final as (
    select
        billed_days.usage_date,
        gpu_resources.issuer,
        gpu_resources.resource_id,
        max(gpu_resources.host) as declared_host
    from gpu_resources
    inner join billed_days
        on
            gpu_resources.issuer = billed_days.issuer
            and billed_days.usage_date >= coalesce(gpu_resources.valid_from_date, billed_days.usage_date)
            and billed_days.usage_date < coalesce(gpu_resources.valid_to_date, billed_days.usage_date + 1)
    left join charged_days
        on
            billed_days.usage_date = charged_days.usage_date
            and gpu_resources.issuer = charged_days.issuer
            and gpu_resources.resource_id = charged_days.resource_id
    where charged_days.resource_id is null
    group by billed_days.usage_date, gpu_resources.issuer, gpu_resources.resource_id
)

select * from final
