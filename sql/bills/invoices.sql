-- What the invoices among the files bill, by kind and resource.
select
    account,
    charge_kind,
    coalesce(resource_id, charge_description) as subject,
    billing_currency,
    cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
    count(*) as lines_count
from stg_gpu_bills__lines
group by all
order by all
