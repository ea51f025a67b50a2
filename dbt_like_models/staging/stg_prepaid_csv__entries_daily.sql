-- One row per usage_date, account, issuer, entry, reference, billing_currency.
-- What somebody wrote down of prepaid accounts: entries of a day and reference added up. A balance is one and is not
-- added up; where two files state the same day's differently, nobody knows it.
-- partition: month
with
entries as (
    select
        usage_date,
        account,
        issuer,
        entry,
        case when entry != 'balance' then reference end as reference,
        currency as billing_currency,
        cast(amount as decimal(38, 18)) as amount
    from landed_prepaid_csv__entries
),

final as (
    select
        usage_date,
        account,
        issuer,
        entry,
        reference,
        billing_currency,
        case
            when entry != 'balance' then cast(sum(amount) as decimal(38, 18))
            when count(distinct amount) = 1 then min(amount)
        end as entry_amount,
        count(*) as line_count
    from entries
    group by usage_date, account, issuer, entry, reference, billing_currency
)

select * from final
