-- One row per usage_date, source, dataset, account, billing_account_id, billing_period_start_date, invoice_id,
-- invoice_issuer, service_provider, sub_account_id, service, sku, sku_meter, charge_category, charge_class,
-- pricing_category, region_id, resource_id, commitment_discount_id, commitment_discount_status, billing_currency,
-- consumed_unit, pricing_unit.
-- Every charge of cloud bills, exports united, each amount as its export says it. `is_book` marks the one dataset per
-- issuer, account and month that is summed; the others are controls. `is_gpu_resource`: of a declared GPU resource. The
-- fee of a declared capacity block costs nothing where it is billed, and the days of the block cost what it was.
-- `per_use_service`: the service of `per_use` that claims the charge; a GPU that is rented is none.
-- partition: month
with
spread_fees as (
    select * from int_capacity_block_fees
    where block_count = 1
),

aws_charges as (
    select
        charges.* replace (
            case
                when spread_fees.fee_key is null then charges.effective_cost else cast(0 as decimal(38, 18))
            end as effective_cost
        ),
        spread_fees.fee_key is not null as is_spread_fee
    from stg_aws_cur2__charges_daily as charges
    left join spread_fees
        on
            charges.charge_category = 'Purchase'
            and charges.commitment_discount_id is null
            and charges.usage_date = spread_fees.usage_date
            and charges.source = spread_fees.source
            and charges.account = spread_fees.account
            and cast(
                to_json([
                    charges.billing_account_id, cast(charges.billing_period_start_date as varchar),
                    charges.invoice_id, charges.invoice_issuer, charges.sub_account_id, charges.service, charges.sku,
                    charges.sku_meter, charges.charge_class, charges.region_id, charges.resource_id,
                    charges.billing_currency
                ]) as varchar
            ) = spread_fees.fee_key
),

-- Days of a block are on no invoice: what is billed of them is the fee.
block_days as (
    select
        usage_date,
        source,
        account,
        billing_account_id,
        cast(date_trunc('month', usage_date) as date) as billing_period_start_date,
        invoice_issuer,
        'AWS' as service_provider,
        sub_account_id,
        service,
        sku,
        sku_meter,
        'Usage' as charge_category,
        'Committed' as pricing_category,
        region_id,
        resource_id,
        billing_currency,
        'Hrs' as consumed_unit,
        'Hrs' as pricing_unit,
        cast(0 as decimal(38, 18)) as billed_cost,
        cast(sum(block_cost) as decimal(38, 18)) as effective_cost,
        -- Hours are of no whole number of decimals: they are counted in quanta of 10^-18, the last one left out.
        cast(sum(block_milliseconds) * 1000000000000000000 // 3600000 as decimal(38, 0))
        * cast('0.000000000000000001' as decimal(19, 18)) as consumed_quantity,
        true as is_block_day,
        cast(0 as bigint) as line_count
    from int_capacity_block_days
    group by all
),

stated as (
    select * from aws_charges
    union all by name
    select * from stg_focus__charges_daily
    union all by name
    select
        * replace (cast(consumed_quantity as decimal(38, 18)) as consumed_quantity),
        cast(consumed_quantity as decimal(38, 18)) as pricing_quantity
    from block_days
),

sources as (
    select * from config_sources
),

gpu_resources as (
    select * from config_gpu_resources
),

-- Every reader of a cloud bill calls its charges `cost_and_usage`.
owned as (
    select
        stated.*,
        'cost_and_usage' as dataset,
        -- An issuer's own export goes before a table of charges that may be anybody's, and the newer one first.
        case
            when stated.source = 'focus' then '3 focus'
            when stated.source = 'aws_cur' then '2 aws_cur'
            else '1 ' || stated.source
        end as precedence,
        coalesce(sources.issuer, stated.account) as issuer,
        coalesce(sources.role, 'book') as role
    from stated
    left join sources
        on
            stated.source = sources.source
            and sources.dataset = 'cost_and_usage'
            and stated.account = sources.account
),

-- An invoice by lines is a book too, and the first of them: its lines are GPU charges already.
stated_books as (
    select
        issuer,
        account,
        date_trunc('month', usage_date) as usage_month,
        precedence
    from owned
    where role = 'book' and is_block_day is null
    union all
    select
        issuer,
        account,
        date_trunc('month', usage_date) as usage_month,
        '0 lines' as precedence
    from int_gpu_bill_lines
    where is_book
),

-- Two books of one month are a configuration error that a check names; one of them is summed, never both.
books as (
    select
        issuer,
        account,
        usage_month,
        min(precedence) as book_precedence
    from stated_books
    group by issuer, account, usage_month
),

-- Days of a block are in the month's book whichever export that is: the fee of one that another export took over was
-- in the book of its own month. Where two exports have the fee, it is spread once.
block_books as (
    select
        issuer,
        account,
        resource_id,
        min(precedence) as book_precedence
    from owned
    where role = 'book' and is_block_day
    group by issuer, account, resource_id
),

-- Azure's actual costs list what a commitment covers at no cost, and its amortized ones list the same use again at what
-- it costs: use is what the latter say, wherever they do.
amortized_use as (
    select distinct
        usage_date,
        account,
        commitment_discount_id,
        resource_id
    from stated
    where source = 'azure_cost_details' and commitment_discount_status = 'Used' and effective_cost is not null
),

-- Of a charge that several claim all of them: it is neither's.
per_use_days as (
    select
        owned.usage_date,
        owned.account,
        owned.resource_id,
        owned.service,
        owned.sku,
        owned.sub_account_id,
        string_agg(distinct rules.per_use_service, ' + ' order by rules.per_use_service) as per_use_service
    from owned
    inner join config_per_use_charges as rules
        on
            owned.account = rules.account
            and (rules.resource_id is null or owned.resource_id = rules.resource_id)
            and (rules.service is null or owned.service = rules.service)
            and (rules.sku is null or owned.sku = rules.sku)
            and (rules.sub_account_id is null or owned.sub_account_id = rules.sub_account_id)
            and owned.usage_date >= coalesce(rules.valid_from_date, owned.usage_date)
            and owned.usage_date < coalesce(rules.valid_to_date, owned.usage_date + 1)
    group by
        owned.usage_date, owned.account, owned.resource_id, owned.service, owned.sku, owned.sub_account_id
),

gpu_days as (
    select distinct
        owned.usage_date,
        owned.issuer,
        owned.resource_id
    from owned
    inner join gpu_resources
        on
            owned.issuer = gpu_resources.issuer
            and owned.resource_id = gpu_resources.resource_id
            and owned.usage_date >= coalesce(gpu_resources.valid_from_date, owned.usage_date)
            and owned.usage_date < coalesce(gpu_resources.valid_to_date, owned.usage_date + 1)
),

final as (
    select
        owned.usage_date,
        owned.source,
        owned.dataset,
        owned.account,
        owned.issuer,
        owned.role,
        owned.role = 'book'
        and owned.precedence
        = case when owned.is_block_day then block_books.book_precedence else books.book_precedence end as is_book,
        gpu_days.resource_id is not null and not coalesce(owned.is_spread_fee, false) as is_gpu_resource,
        case when gpu_days.resource_id is null then per_use_days.per_use_service end as per_use_service,
        owned.billing_account_id,
        owned.billing_period_start_date,
        owned.invoice_id,
        owned.invoice_issuer,
        owned.service_provider,
        owned.sub_account_id,
        owned.service,
        owned.sku,
        owned.sku_meter,
        owned.charge_category,
        owned.charge_class,
        owned.pricing_category,
        owned.region_id,
        owned.resource_id,
        owned.commitment_discount_id,
        owned.commitment_discount_status,
        owned.billing_currency,
        owned.consumed_unit,
        owned.pricing_unit,
        owned.billed_cost,
        case
            when amortized_use.account is null then owned.effective_cost else cast(0 as decimal(38, 18))
        end as effective_cost,
        case
            when amortized_use.account is null or owned.list_cost is null then owned.list_cost
            else cast(0 as decimal(38, 18))
        end as list_cost,
        owned.contracted_cost,
        case when amortized_use.account is null then owned.consumed_quantity end as consumed_quantity,
        case when amortized_use.account is null then owned.pricing_quantity end as pricing_quantity,
        owned.line_count
    from owned
    left join books
        on
            owned.issuer = books.issuer
            and owned.account = books.account
            and date_trunc('month', owned.usage_date) = books.usage_month
    left join block_books
        on
            owned.issuer = block_books.issuer
            and owned.account = block_books.account
            and owned.resource_id is not distinct from block_books.resource_id
    left join amortized_use
        on
            owned.source = 'azure_cost_details'
            and owned.charge_category = 'Usage'
            and owned.pricing_category = 'Committed'
            and owned.commitment_discount_status is null
            and owned.effective_cost is null
            and owned.usage_date = amortized_use.usage_date
            and owned.account = amortized_use.account
            and owned.commitment_discount_id is not distinct from amortized_use.commitment_discount_id
            and owned.resource_id is not distinct from amortized_use.resource_id
    left join per_use_days
        on
            owned.usage_date = per_use_days.usage_date
            and owned.account = per_use_days.account
            and owned.resource_id is not distinct from per_use_days.resource_id
            and owned.service is not distinct from per_use_days.service
            and owned.sku is not distinct from per_use_days.sku
            and owned.sub_account_id is not distinct from per_use_days.sub_account_id
    left join gpu_days
        on
            owned.usage_date = gpu_days.usage_date
            and owned.issuer = gpu_days.issuer
            and owned.resource_id = gpu_days.resource_id
)

select * from final
