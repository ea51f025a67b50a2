-- One row per usage_date, issuer, account, control_source, control_dataset, control_account, model, billing_currency.
-- What a control states beside the book of record, and their difference where both speak for the whole day: a Console
-- CSV beside the API, FOCUS beside CUR, a gateway's estimate beside the provider's bill. A control is never summed.
-- What either does not name as the other does (model NULL) is compared as one, so that a day's rows sum to the day.
-- Which export is the book and what stands beside it is said by the month: no single day of it may show both.
-- partition: month
with
charges as (
    select
        usage_date,
        issuer,
        account,
        source,
        dataset,
        account as stating_account,
        is_book,
        'billed' as measure,
        model,
        billing_currency,
        sum(billed_cost) as stated_cost
    from int_api_charges_daily
    group by all
    union all
    select
        usage_date,
        issuer,
        account,
        source,
        dataset,
        account as stating_account,
        is_book,
        'billed' as measure,
        cast(null as varchar) as model,
        billing_currency,
        sum(billed_cost) as stated_cost
    from int_cloud_charges_daily
    group by all
    union all
    -- The lines of GPU bills, booked to their days.
    select
        usage_date,
        issuer,
        account,
        source,
        'invoice' as dataset,
        account as stating_account,
        true as is_book,
        'billed' as measure,
        cast(null as varchar) as model,
        billing_currency,
        sum(realized_cost) as stated_cost
    from int_gpu_charges_daily
    where line_number is not null and cost_measure = 'billed'
    group by all
    union all
    select
        usage_date,
        issuer,
        account,
        source,
        dataset,
        estimating_account as stating_account,
        false as is_book,
        'rated' as measure,
        model,
        billing_currency,
        sum(rated_cost) as stated_cost
    from int_estimated_charges_daily
    group by all
),

-- A day of a dataset that a delivery vouches for, also where it charges nothing. An invoice's are the days it bills; a
-- gateway's those of which it has rows, for a window that was never exported looks like one without traffic.
spoken as (
    select
        usage_date,
        source,
        dataset,
        account as stating_account,
        min(stated_at) as stated_at
    from landed_coverage
    where is_complete and dataset != 'invoice' and (source != 'litellm_focus' or row_count > 0)
    group by usage_date, source, dataset, account
    union all
    select distinct
        usage_date,
        source,
        dataset,
        stating_account,
        cast(usage_date + 1 as timestamp) as stated_at
    from charges
    where dataset = 'invoice'
),

-- Whose bill each dataset states: as it is configured, or as its charges say where it no longer is.
bills as (
    select
        issuer,
        account,
        source,
        dataset,
        account as stating_account,
        'billed' as measure,
        role = 'book' as is_meant_as_book
    from config_sources
    where measure = 'billed'
    union
    select
        bill_issuer as issuer,
        bill_account as account,
        config_sources.source,
        config_sources.dataset,
        config_sources.account as stating_account,
        config_sources.measure,
        false as is_meant_as_book
    from config_sources
    inner join config_estimated_bills
        on
            config_sources.source = config_estimated_bills.source
            and config_sources.account = config_estimated_bills.account
    where config_sources.measure = 'rated' and config_estimated_bills.bill_account is not null
    union
    select
        charges.issuer,
        charges.account,
        charges.source,
        charges.dataset,
        charges.stating_account,
        charges.measure,
        charges.is_book as is_meant_as_book
    from charges
    left join config_sources
        on
            charges.source = config_sources.source
            and charges.dataset = config_sources.dataset
            and charges.stating_account = config_sources.account
    where config_sources.source is null or config_sources.measure = 'rated'
),

speakers as (
    select distinct
        source,
        dataset,
        stating_account
    from spoken
),

heard as (
    select
        bills.issuer,
        bills.account,
        bills.source,
        bills.dataset,
        bills.stating_account,
        bills.measure,
        bills.is_meant_as_book,
        coalesce(bool_or(charges.is_book), false) as is_summed
    from bills
    inner join speakers
        on
            bills.source = speakers.source
            and bills.dataset = speakers.dataset
            and bills.stating_account = speakers.stating_account
    left join charges
        on
            bills.issuer = charges.issuer
            and bills.account = charges.account
            and bills.source = charges.source
            and bills.dataset = charges.dataset
            and bills.stating_account = charges.stating_account
    group by all
),

-- The one that is summed; in a month without a charge, the one that is meant to be.
books as (
    select * from heard
    where is_summed or is_meant_as_book
    qualify row_number() over (partition by issuer, account order by is_summed desc, source asc, dataset asc) = 1
),

pairs as (
    select
        controls.issuer,
        controls.account,
        books.source as book_source,
        books.dataset as book_dataset,
        controls.source as control_source,
        controls.dataset as control_dataset,
        controls.stating_account as control_account,
        controls.measure as control_measure
    from heard as controls
    left join books
        on controls.issuer = books.issuer and controls.account = books.account
    where (controls.source, controls.dataset) is distinct from (books.source, books.dataset)
),

pair_days as (
    select
        pairs.*,
        spoken.usage_date
    from pairs
    inner join spoken
        on
            pairs.control_source = spoken.source
            and pairs.control_dataset = spoken.dataset
            and pairs.control_account = spoken.stating_account
    union
    select
        pairs.*,
        spoken.usage_date
    from pairs
    inner join spoken
        on
            pairs.book_source = spoken.source
            and pairs.book_dataset = spoken.dataset
            and pairs.account = spoken.stating_account
),

-- `is_whole`: stated once the day was over; NULL where nobody speaks for the day.
days as (
    select
        pair_days.*,
        books_spoken.stated_at >= pair_days.usage_date + 1 as is_book_whole,
        controls_spoken.stated_at >= pair_days.usage_date + 1 as is_control_whole
    from pair_days
    left join spoken as books_spoken
        on
            pair_days.usage_date = books_spoken.usage_date
            and pair_days.book_source = books_spoken.source
            and pair_days.book_dataset = books_spoken.dataset
            and pair_days.account = books_spoken.stating_account
    left join spoken as controls_spoken
        on
            pair_days.usage_date = controls_spoken.usage_date
            and pair_days.control_source = controls_spoken.source
            and pair_days.control_dataset = controls_spoken.dataset
            and pair_days.control_account = controls_spoken.stating_account
),

lines as (
    select
        days.*,
        charges.model,
        charges.billing_currency,
        charges.stated_cost as book_cost,
        cast(null as decimal(38, 18)) as control_cost
    from days
    inner join charges
        on
            days.usage_date = charges.usage_date
            and days.issuer = charges.issuer
            and days.account = charges.account
            and days.book_source = charges.source
            and days.book_dataset = charges.dataset
            and days.account = charges.stating_account
    union all
    select
        days.*,
        charges.model,
        charges.billing_currency,
        cast(null as decimal(38, 18)) as book_cost,
        charges.stated_cost as control_cost
    from days
    inner join charges
        on
            days.usage_date = charges.usage_date
            and days.issuer is not distinct from charges.issuer
            and days.account is not distinct from charges.account
            and days.control_source = charges.source
            and days.control_dataset = charges.dataset
            and days.control_account = charges.stating_account
),

sided as (
    select
        *,
        count(book_cost) over of_model as book_model_count,
        count(control_cost) over of_model as control_model_count,
        count(book_cost) over of_day as book_day_count,
        count(control_cost) over of_day as control_day_count
    from lines
    window
        of_day as (
            partition by usage_date, issuer, account, control_source, control_dataset, control_account
        ),
        of_model as (
            partition by usage_date, issuer, account, control_source, control_dataset, control_account, model
        )
),

matched as (
    select
        usage_date,
        issuer,
        account,
        book_source,
        book_dataset,
        control_source,
        control_dataset,
        control_account,
        control_measure,
        is_book_whole,
        is_control_whole,
        case when book_model_count > 0 and control_model_count > 0 then model end as model,
        billing_currency,
        sum(book_cost) as book_cost,
        sum(control_cost) as control_cost,
        max(book_day_count) as book_day_count,
        max(control_day_count) as control_day_count
    from sided
    group by all
),

told as (
    select
        matched.*,
        -- Two that state no currency in common that day state nothing that could be compared.
        count(matched.book_cost) over of_currency = 0 and matched.book_day_count > 0 as is_book_elsewhere,
        count(matched.control_cost) over of_currency = 0 and matched.control_day_count > 0 as is_control_elsewhere
    from matched
    window
        of_currency as (
            partition by
                matched.usage_date,
                matched.issuer,
                matched.account,
                matched.control_source,
                matched.control_dataset,
                matched.control_account,
                matched.billing_currency
        )
),

judged as (
    select
        told.*,
        case
            when told.account is null and config_estimated_bills.provider is null then 'bill_not_named'
            when told.account is null then 'billed_elsewhere'
            when told.is_book_whole is null then 'control_only'
            when told.is_control_whole is null then 'book_only'
            when not told.is_book_whole or not told.is_control_whole then 'day_not_over'
            when told.is_book_elsewhere or told.is_control_elsewhere then 'other_currency'
            else 'compared'
        end as status
    from told
    left join config_estimated_bills
        on
            told.control_source = config_estimated_bills.source
            and told.control_account = config_estimated_bills.account
            and told.issuer = config_estimated_bills.provider
            and told.account is null
),

final as (
    select
        usage_date,
        issuer,
        account,
        control_source,
        control_dataset,
        control_account,
        model,
        billing_currency,
        book_source,
        book_dataset,
        control_measure,
        status,
        -- Where both speak for the whole day, what one has no line of it charges nothing for.
        cast(if(status = 'compared', coalesce(book_cost, 0), book_cost) as decimal(38, 18)) as book_cost,
        cast(if(status = 'compared', coalesce(control_cost, 0), control_cost) as decimal(38, 18)) as control_cost,
        cast(
            case when status = 'compared' then coalesce(control_cost, 0) - coalesce(book_cost, 0) end
            as decimal(38, 18)
        ) as difference_cost
    from judged
)

select * from final
