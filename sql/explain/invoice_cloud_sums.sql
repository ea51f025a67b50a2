-- What the landed rows that name the invoice come to, by object and currency, from their own spelling. A line of which
-- staging makes two charges (a plan's fee and its unused part) is counted where it is a line.
select
    landed.object_number,
    landed.account,
    landed.billing_currency,
    landed.decimal_places,
    count(*) as row_count,
    sum(cast(landed.stated_amount as decimal(38, 18))) as amount
from traced_int_cloud_charges_daily as landed
inner join chosen_invoice_accounts as chosen
    on
        landed.source = chosen.source
        and landed.account = chosen.account
where landed.invoice_id = $invoice_id and landed.line_count > 0
group by landed.object_number, landed.account, landed.billing_currency, landed.decimal_places
order by landed.object_number, landed.account, landed.billing_currency, landed.decimal_places
