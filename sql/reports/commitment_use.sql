-- What was billed under a contract in its commitment period so far, in the contract's currency (NULL: no bill says);
-- and what was billed in another, or is metered and not billed yet, which is not counted.
select
    cast(sum(billed_cost) filter (where billing_currency = $currency) as decimal(38, 18)) as used_cost,
    count(*) filter (where billed_cost is null) as unbilled_rows_count,
    count(*) filter (where billed_cost is not null and billing_currency != $currency) as other_currency_rows_count
from fct_api_costs_daily
where
    provider = $provider
    and list_contains($accounts, account)
    and usage_date >= $from_date
    and usage_date < $to_date
