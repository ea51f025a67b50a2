-- One row per usage_date, account, issuer, billing_currency.
-- What providers' APIs said that prepaid accounts hold: of the readings that stand for a day's end the last one, which
-- is of the day whose end is nearest to it.
-- partition: month
with
readings as (
    select
        usage_date,
        account,
        issuer,
        provider,
        currency as billing_currency,
        read_at,
        cast(balance as decimal(38, 18)) as balance
    from landed_prepaid_balance__readings
),

ranked as (
    select
        *,
        row_number() over (
            partition by usage_date, account, issuer, billing_currency
            order by read_at desc, balance desc, provider asc
        ) as newness,
        count(*) over (partition by usage_date, account, issuer, billing_currency) as reading_count
    from readings
),

final as (
    select
        usage_date,
        account,
        issuer,
        billing_currency,
        provider,
        read_at,
        balance as read_balance_cost,
        reading_count
    from ranked
    where newness = 1
)

select * from final
