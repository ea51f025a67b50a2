-- What the bills of a billing month charge, invoice by invoice, as the closing of the month counts them.
select
    issuer as invoice_issuer,
    invoice_id,
    billing_currency,
    sum(in_scope_cost + out_of_scope_cost) as billed_cost
from int_billed_lines_daily
where period_date >= $from_date and period_date < $to_date
group by issuer, invoice_id, billing_currency
order by issuer, invoice_id nulls last, billing_currency
