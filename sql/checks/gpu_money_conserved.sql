-- law: gpu_money_is_conserved
-- scope: account
-- partition: none
-- What the files of GPU bills say, added up from the vendor's own text as they were read, is charged or still to come;
-- every invoice line is booked to its days exactly; every day's charges are in the cost table exactly.
with
stated as (
    select
        landed_money.source,
        landed_money.account,
        landed_money.billing_currency,
        sum(landed_money.stated_amount) as stated_cost
    from landed_money
    left join config_sources
        on
            landed_money.source = config_sources.source
            and landed_money.dataset = config_sources.dataset
            and landed_money.account = config_sources.account
    where landed_money.home = 'gpu' and config_sources.role is distinct from 'control'
    group by landed_money.source, landed_money.account, landed_money.billing_currency
),

booked_until as (
    select max(day_end_at) as day_end_at
    from calendar
),

lines as (
    select
        bill_lines.source,
        bill_lines.account,
        bill_lines.invoice_id,
        bill_lines.line_number,
        bill_lines.billed_cost,
        bill_lines.billing_currency,
        coalesce(bill_lines.period_end_at <= booked_until.day_end_at, false) as is_over,
        date_diff(
            'day',
            date_trunc('day', bill_lines.period_start_at),
            least(bill_lines.period_end_at, booked_until.day_end_at) - interval 1 millisecond
        ) + 1 as begun_days_count
    from int_gpu_bill_lines as bill_lines
    cross join booked_until
    where bill_lines.is_book
),

line_days as (
    select
        source,
        account,
        invoice_id,
        line_number,
        sum(realized_cost) as booked_cost,
        count(*) as booked_days_count
    from int_gpu_charges_daily
    where line_number is not null
    group by source, account, invoice_id, line_number
),

-- A line whose period goes on is taken whole: its days are booked as they come.
placements as (
    select
        source,
        account,
        billing_currency,
        billed_cost as placed_cost
    from lines
    where not is_over
    union all
    select
        charges.source,
        charges.account,
        charges.billing_currency,
        charges.realized_cost as placed_cost
    from int_gpu_charges_daily as charges
    left join lines
        on
            charges.source = lines.source
            and charges.account = lines.account
            and charges.invoice_id = lines.invoice_id
            and charges.line_number = lines.line_number
            and not lines.is_over
    where
        lines.line_number is null
        and charges.source in (select landed_money.source from landed_money where landed_money.home = 'gpu')
),

placed as (
    select
        source,
        account,
        billing_currency,
        sum(placed_cost) as placed_cost
    from placements
    group by source, account, billing_currency
),

charged as (
    select
        usage_date,
        account,
        cost_measure,
        billing_currency,
        sum(realized_cost) as charged_cost
    from int_gpu_charges_daily
    group by usage_date, account, cost_measure, billing_currency
),

told as (
    select
        usage_date,
        account,
        cost_measure,
        billing_currency,
        sum(realized_cost) as told_cost
    from fct_gpu_costs_daily
    where cost_measure != 'accrued'
    group by usage_date, account, cost_measure, billing_currency
)

select
    'gpu_money_is_conserved' as law,
    'account:' || lines.account as scope,
    concat(
        'invoice ', lines.invoice_id, ' line ', lines.line_number, ': ', lines.billed_cost, ' billed, ',
        coalesce(cast(line_days.booked_cost as varchar), 'nothing'), ' booked to days.'
    ) as detail
from lines
left join line_days
    on
        lines.source = line_days.source
        and lines.account = line_days.account
        and lines.invoice_id = line_days.invoice_id
        and lines.line_number = line_days.line_number
where lines.is_over and lines.billed_cost is distinct from line_days.booked_cost
union all
select
    'gpu_money_is_conserved' as law,
    'account:' || lines.account as scope,
    concat(
        'invoice ', lines.invoice_id, ' line ', lines.line_number, ': ', greatest(lines.begun_days_count, 0),
        ' days of its period have begun, ', coalesce(line_days.booked_days_count, 0), ' are booked.'
    ) as detail
from lines
left join line_days
    on
        lines.source = line_days.source
        and lines.account = line_days.account
        and lines.invoice_id = line_days.invoice_id
        and lines.line_number = line_days.line_number
where greatest(lines.begun_days_count, 0) != coalesce(line_days.booked_days_count, 0)
union all
select
    'gpu_money_is_conserved' as law,
    'account:' || coalesce(stated.account, placed.account) as scope,
    concat(
        coalesce(stated.source, placed.source), ': the files say ',
        coalesce(cast(stated.stated_cost as varchar), 'nothing'), ' ',
        coalesce(stated.billing_currency, placed.billing_currency), ', charged or still to come ',
        coalesce(cast(placed.placed_cost as varchar), 'nothing'), '.'
    ) as detail
from stated
full outer join placed
    on
        stated.source = placed.source
        and stated.account = placed.account
        and stated.billing_currency is not distinct from placed.billing_currency
where stated.stated_cost is distinct from placed.placed_cost
union all
select
    'gpu_money_is_conserved' as law,
    'account:' || coalesce(charged.account, told.account) as scope,
    concat(
        coalesce(charged.usage_date, told.usage_date), ' ', coalesce(charged.cost_measure, told.cost_measure), ' ',
        coalesce(charged.billing_currency, told.billing_currency), ': charged ',
        coalesce(cast(charged.charged_cost as varchar), 'nothing'), ', in the cost table ',
        coalesce(cast(told.told_cost as varchar), 'nothing'), '.'
    ) as detail
from charged
full outer join told
    on
        charged.usage_date = told.usage_date
        and charged.account is not distinct from told.account
        and charged.cost_measure = told.cost_measure
        and charged.billing_currency is not distinct from told.billing_currency
where charged.charged_cost is distinct from told.told_cost
