-- Every charge booked to the days, resources and measures of the chosen rows, as the build booked it.
select distinct
    charges.usage_date,
    charges.source,
    charges.account,
    charges.charge_id,
    charges.issuer,
    charges.invoice_id,
    charges.line_number,
    charges.charge_kind,
    charges.is_gpu_charge,
    charges.resource_id,
    charges.cost_measure,
    charges.billing_currency,
    charges.realized_cost
from int_gpu_charges_daily as charges
inner join chosen_gpu_costs as chosen
    on
        charges.usage_date = chosen.usage_date
        and charges.issuer = chosen.issuer
        and charges.account is not distinct from chosen.account
        and charges.resource_id is not distinct from chosen.resource_id
        and charges.cost_measure = chosen.cost_measure
        and charges.billing_currency is not distinct from chosen.billing_currency
order by charges.usage_date, charges.account, charges.charge_id
