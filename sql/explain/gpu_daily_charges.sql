-- The landed rows behind charges that are of one day each (no invoice line, whose period has days), as the build's own
-- SQL takes each of them, with the amount in its own spelling.
select
    landed.usage_date,
    landed.source,
    landed.account,
    landed.charge_id,
    landed.charge_kind,
    landed.resource_id,
    landed.cost_measure,
    landed.billing_currency,
    landed.realized_cost,
    landed.stated_amount,
    landed.decimal_places,
    landed.object_number,
    landed.object_row
from traced_int_gpu_charges_daily as landed
inner join chosen_gpu_charges as chosen
    on
        landed.usage_date = chosen.usage_date
        and landed.source = chosen.source
        and landed.account = chosen.account
        and landed.charge_id = chosen.charge_id
        and landed.cost_measure = chosen.cost_measure
where chosen.line_number is null
order by landed.usage_date, landed.account, landed.charge_id, landed.object_number, landed.object_row
