-- One row per usage_date, issuer, account, billing_currency.
-- What an account was billed on a day by its books, in its bill's own currency, an invoice's lines by their days.
-- `is_settled`: every export of the bill that is its book has settled the day, so that what is not there is nothing. A
-- settled day without a charge is a row without a currency.
-- partition: month, days apart
with
coverage as (
    select * from fct_source_coverage_daily
),

books as (
    select distinct
        source,
        account,
        dataset,
        issuer
    from config_sources
    where measure = 'billed' and role = 'book'
),

settled as (
    select
        coverage.usage_date,
        books.issuer,
        books.account,
        bool_and(coverage.status = 'settled' and not coverage.is_blocked) as is_settled
    from coverage
    inner join books
        on
            coverage.source = books.source
            and coverage.account = books.account
            and coverage.dataset = books.dataset
    group by coverage.usage_date, books.issuer, books.account
),

charges as (
    select
        usage_date,
        issuer,
        account,
        billing_currency,
        billed_cost
    from int_api_charges_daily
    where is_book
    union all
    select
        usage_date,
        issuer,
        account,
        billing_currency,
        billed_cost
    from int_cloud_charges_daily
    where is_book
    union all
    -- Lines of GPU bills. Of cloud bills and owned machines what stands there is counted above, or nobody's bill.
    select
        usage_date,
        issuer,
        account,
        billing_currency,
        realized_cost as billed_cost
    from int_gpu_charges_daily
    where line_number is not null
),

spent as (
    select
        usage_date,
        issuer,
        account,
        billing_currency,
        case when count(*) = count(billed_cost) then cast(sum(billed_cost) as decimal(38, 18)) end as billed_cost
    from charges
    group by usage_date, issuer, account, billing_currency
),

final as (
    select
        coalesce(settled.usage_date, spent.usage_date) as usage_date,
        coalesce(settled.issuer, spent.issuer) as issuer,
        coalesce(settled.account, spent.account) as account,
        spent.billing_currency,
        spent.billed_cost,
        coalesce(settled.is_settled, false) as is_settled
    from settled
    full outer join spent
        on
            settled.usage_date = spent.usage_date
            and settled.issuer = spent.issuer
            and settled.account = spent.account
)

select * from final
