-- One row per billing_month_date, issuer, account, billing_currency, usage_date.
-- What lines of closed months say now and did not when that was booked: restated, late, gone. Booked is what the close
-- of the month said, and what closes of later months have taken up since. It is due in the first month after the closed
-- one that is still open for its issuer, whenever it arrived: a bill that is fetched again moves nothing.
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

dated as (
    select
        *,
        case
            when is_by_lines
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
    where exists (
        select 1
        from closed_months
        where
            closed_months.billing_month_date = date_trunc('month', dated.bill_date)
            and (closed_months.issuer is null or closed_months.issuer = dated.issuer)
    )
),

stated as (
    select
        billing_month_date,
        issuer,
        account,
        billing_currency,
        usage_date,
        sum(in_scope_cost + out_of_scope_cost) as stated_cost
    from lines
    group by billing_month_date, issuer, account, billing_currency, usage_date
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
        case when stated.usage_date is null then 0 else stated.stated_cost end as stated_cost
    from stated
    full outer join booked
        on
            stated.billing_month_date = booked.billing_month_date
            and stated.issuer = booked.issuer
            and stated.account = booked.account
            and stated.billing_currency = booked.billing_currency
            and stated.usage_date = booked.usage_date
    where
        case when booked.usage_date is null then 0 else booked.booked_cost end
        != case when stated.usage_date is null then 0 else stated.stated_cost end
),

-- Of as many months as were closed one more is enough.
candidates as (
    select
        changes.*,
        cast(
            unnest(
                range(
                    changes.billing_month_date + interval 1 month,
                    changes.billing_month_date
                    + to_months(cast((select count(*) from closed_months) as integer) + 2),
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
        cast(candidates.booked_cost as decimal(38, 18)) as booked_cost,
        cast(candidates.stated_cost as decimal(38, 18)) as stated_cost,
        cast(candidates.stated_cost - candidates.booked_cost as decimal(38, 18)) as difference_cost
    from candidates
    where
        not exists (
            select 1
            from closed_months
            where
                closed_months.billing_month_date = candidates.due_month_date
                and (closed_months.issuer is null or closed_months.issuer = candidates.issuer)
        )
    group by all
)

select * from final
