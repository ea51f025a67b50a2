-- The landed rows that name the invoice, as the build's own SQL takes each of them; the largest amounts first.
-- A line of which it makes two charges is shown as the one that it is.
select
    landed.usage_date,
    landed.source,
    landed.account,
    landed.billing_currency,
    landed.service,
    landed.charge_category,
    landed.stated_amount as amount,
    landed.decimal_places,
    landed.object_number,
    landed.object_row
from traced_int_cloud_charges_daily as landed
inner join chosen_invoice_accounts as chosen
    on
        landed.source = chosen.source
        and landed.account = chosen.account
where landed.invoice_id = $invoice_id and landed.line_count > 0
order by abs(cast(landed.stated_amount as decimal(38, 18))) desc, landed.object_number asc, landed.object_row asc
limit $most
