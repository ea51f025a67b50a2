-- The invoices on which a GPU resource's time of the period stands, as their bills name them.
select distinct
    usage_date,
    issuer,
    resource_id,
    invoice_id
from int_gpu_charges_daily
where
    usage_date >= $from_date
    and usage_date < $to_date
    and cost_measure = 'billed'
    and resource_id is not null
    and invoice_id is not null
order by all
