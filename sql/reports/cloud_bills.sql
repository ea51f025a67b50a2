-- Cloud bills of the period, whole, by issuer, account and export, in their own currency: the book of record, and the
-- controls beside it (how far these are from it, control_differences says). An amount that any charge leaves out is
-- unknown (NULL).
select
    issuer,
    account,
    source,
    billing_currency,
    bool_or(is_book) as is_book,
    sum(billed_cost) as billed_cost,
    case when count(effective_cost) = count(*) then sum(effective_cost) end as effective_cost,
    case
        when count(effective_cost) filter (where is_gpu_resource) = count(*) filter (where is_gpu_resource)
            then coalesce(sum(effective_cost) filter (where is_gpu_resource), 0)
    end as of_which_gpu_resources_cost,
    case
        when count(effective_cost) = count(*)
            then coalesce(sum(effective_cost) filter (where commitment_discount_status = 'Unused'), 0)
    end as of_which_unused_commitment_cost
from fct_cloud_charges_daily
where usage_date >= $from_date and usage_date < $to_date
group by issuer, account, source, billing_currency
order by issuer asc, account asc, is_book desc, source asc, billing_currency asc
