-- Each prepaid account at the newest of the days given of which its balance is known, with what moved since its balance
-- at the beginning of them (or since it is known without a break): opening + movements + unexplained = closing. A day
-- whose balance is stated and whose usage nobody knows yet leaves what was used, and what is unexplained, unknown.
with
days as (
    select * from fct_prepaid_balances_daily
    where usage_date < cast($to_date as date)
),

accounts as (
    select
        issuer,
        account,
        billing_currency,
        max(usage_date) filter (where closing_balance_cost is not null) as balance_date
    from days
    group by issuer, account, billing_currency
),

newest as (
    select
        accounts.issuer,
        accounts.account,
        accounts.billing_currency,
        accounts.balance_date,
        days.closing_balance_cost,
        days.stated_balance_cost,
        days.written_balance_cost,
        days.read_balance_cost,
        days.read_at,
        days.daily_used_cost,
        days.runway_days_count,
        greatest(days.known_from_date, cast($from_date as date)) as known_from_date
    from accounts
    left join days
        on
            accounts.issuer = days.issuer
            and accounts.account = days.account
            and accounts.billing_currency = days.billing_currency
            and accounts.balance_date = days.usage_date
)

select
    newest.* exclude (known_from_date),
    min(moved.usage_date) as since_date,
    min_by(moved.opening_balance_cost, moved.usage_date) as opening_balance_cost,
    cast(sum(moved.purchased_cost) as decimal(38, 18)) as purchased_cost,
    cast(sum(moved.granted_cost) as decimal(38, 18)) as granted_cost,
    case
        when count(moved.used_cost) = count(*) then cast(sum(moved.used_cost) as decimal(38, 18))
    end as used_cost,
    cast(sum(moved.expired_cost) as decimal(38, 18)) as expired_cost,
    cast(sum(moved.refunded_cost) as decimal(38, 18)) as refunded_cost,
    case
        when count(moved.unexplained_cost) = count(*) then cast(sum(moved.unexplained_cost) as decimal(38, 18))
    end as unexplained_cost,
    cast(sum(moved.receipt_cost) as decimal(38, 18)) as receipt_cost,
    cast(sum(moved.unreceipted_purchase_cost) as decimal(38, 18)) as unreceipted_purchase_cost,
    cast(sum(moved.unpurchased_receipt_cost) as decimal(38, 18)) as unpurchased_receipt_cost
from newest
left join days as moved
    on
        newest.issuer = moved.issuer
        and newest.account = moved.account
        and newest.billing_currency = moved.billing_currency
        and newest.known_from_date <= moved.usage_date
        and newest.balance_date >= moved.usage_date
        and moved.opening_balance_cost is not null
group by all
order by newest.issuer, newest.account, newest.billing_currency
