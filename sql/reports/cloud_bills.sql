-- Cloud bills of the period, whole, by account and export, in their own currency: the book of record, and the controls
-- beside it with what they say more or less. An amount that any charge leaves out is unknown (NULL).
with
bills as (
    select
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
    group by account, source, billing_currency
),

books as (
    select
        account,
        billing_currency,
        sum(billed_cost) as book_cost
    from fct_cloud_charges_daily
    where usage_date >= $from_date and usage_date < $to_date and is_book
    group by account, billing_currency
)

select
    bills.account,
    bills.source,
    bills.billing_currency,
    bills.is_book,
    bills.billed_cost,
    bills.effective_cost,
    bills.of_which_gpu_resources_cost,
    bills.of_which_unused_commitment_cost,
    case when not bills.is_book then bills.billed_cost - books.book_cost end as less_book_cost
from bills
left join books
    on bills.account = books.account and bills.billing_currency = books.billing_currency
order by bills.account asc, bills.is_book desc, bills.source asc, bills.billing_currency asc
