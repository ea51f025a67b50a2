-- What a file of entries of prepaid accounts says, by kind of entry: how many there are and what they come to. Balances
-- are not added up: the newest is said.
select
    account,
    entry,
    billing_currency,
    cast(sum(line_count) as bigint) as entries_count,
    case
        when entry = 'balance' then max_by(entry_amount, usage_date)
        else cast(sum(entry_amount) as decimal(38, 18))
    end as entry_amount
from stg_prepaid_csv__entries_daily
group by account, entry, billing_currency
order by account, entry, billing_currency
