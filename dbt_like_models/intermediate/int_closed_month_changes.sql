-- One row per billing_month_date, issuer, account, billing_currency, usage_date.
-- What lines of closed months say now and did not when that was booked: restated, late, gone. Booked is what the close
-- of the month said, and what closes of later months have taken up since. It is due in the month in which what counts
-- now arrived, or in the first one after it that is still open.
-- partition: none
with
billed as (
    select * from int_billed_lines_daily
),

closed_months as (
    select * from closing_months
),

booked_days as (
    select * from closing_days
),

coverage as (
    select * from landed_coverage
),

dated as (
    select
        *,
        case
            when source = 'invoice_csv'
                then min(period_date) over (partition by source, account, issuer, invoice_id)
            else period_date
        end as bill_date
    from billed
),

lines as (
    select
        dated.*,
        cast(date_trunc('month', dated.bill_date) as date) as billing_month_date
    from dated
    inner join closed_months
        on date_trunc('month', dated.bill_date) = closed_months.billing_month_date
),

arrivals as (
    select
        source,
        account,
        usage_date,
        max(landed_at) as landed_at
    from coverage
    group by source, account, usage_date
),

stated as (
    select
        lines.billing_month_date,
        lines.issuer,
        lines.account,
        lines.billing_currency,
        lines.usage_date,
        sum(lines.in_scope_cost + lines.out_of_scope_cost) as stated_cost,
        max(arrivals.landed_at) as landed_at
    from lines
    left join arrivals
        on
            lines.source = arrivals.source
            and lines.account = arrivals.account
            and lines.usage_date = arrivals.usage_date
    group by lines.billing_month_date, lines.issuer, lines.account, lines.billing_currency, lines.usage_date
),

booked as (
    select
        billing_month_date,
        issuer,
        account,
        billing_currency,
        usage_date,
        sum(booked_cost) as booked_cost
    from booked_days
    group by billing_month_date, issuer, account, billing_currency, usage_date
),

-- Where nothing is stated any more, or nothing was, that side comes to nothing: these are sums of lines.
changes as (
    select
        coalesce(stated.billing_month_date, booked.billing_month_date) as billing_month_date,
        coalesce(stated.issuer, booked.issuer) as issuer,
        coalesce(stated.account, booked.account) as account,
        coalesce(stated.billing_currency, booked.billing_currency) as billing_currency,
        coalesce(stated.usage_date, booked.usage_date) as usage_date,
        case when booked.usage_date is null then 0 else booked.booked_cost end as booked_cost,
        case when stated.usage_date is null then 0 else stated.stated_cost end as stated_cost,
        case when stated.usage_date is null then gone.landed_at else stated.landed_at end as landed_at
    from stated
    full outer join booked
        on
            stated.billing_month_date = booked.billing_month_date
            and stated.issuer = booked.issuer
            and stated.account = booked.account
            and stated.billing_currency = booked.billing_currency
            and stated.usage_date = booked.usage_date
    left join (
        select
            account,
            usage_date,
            max(landed_at) as landed_at
        from arrivals
        group by account, usage_date
    ) as gone
        on booked.account = gone.account and booked.usage_date = gone.usage_date
    where
        case when booked.usage_date is null then 0 else booked.booked_cost end
        != case when stated.usage_date is null then 0 else stated.stated_cost end
),

-- Never before the month after the one that is closed, and never in another that is.
candidates as (
    select
        changes.*,
        cast(
            unnest(
                range(
                    greatest(
                        changes.billing_month_date + interval 1 month,
                        coalesce(date_trunc('month', changes.landed_at), changes.billing_month_date)
                    ),
                    greatest(
                        changes.billing_month_date + interval 1 month,
                        coalesce(date_trunc('month', changes.landed_at), changes.billing_month_date)
                    ) + to_months(cast((select count(*) from closed_months) as integer) + 1),
                    interval 1 month
                )
            ) as date
        ) as due_month_date
    from changes
),

final as (
    select
        candidates.billing_month_date,
        candidates.issuer,
        candidates.account,
        candidates.billing_currency,
        candidates.usage_date,
        cast(min(candidates.due_month_date) as date) as due_month_date,
        candidates.landed_at,
        cast(candidates.booked_cost as decimal(38, 18)) as booked_cost,
        cast(candidates.stated_cost as decimal(38, 18)) as stated_cost,
        cast(candidates.stated_cost - candidates.booked_cost as decimal(38, 18)) as difference_cost
    from candidates
    left join closed_months
        on candidates.due_month_date = closed_months.billing_month_date
    where closed_months.billing_month_date is null
    group by all
)

select * from final
