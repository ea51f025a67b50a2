-- Each prepaid account on each day of which its balance is known, oldest first: what it held, and how long it lasts.
select
    usage_date,
    issuer,
    account,
    billing_currency,
    closing_balance_cost,
    daily_used_cost,
    runway_days_count
from fct_prepaid_balances_daily
where closing_balance_cost is not null
order by usage_date, issuer, account, billing_currency
