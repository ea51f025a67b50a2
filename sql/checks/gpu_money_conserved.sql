-- law: gpu_money_is_conserved
-- scope: account
-- partition: none
-- Every GPU invoice line is booked to its days exactly, and every day's charges are in the cost table exactly.
with
booked_until as (
    select max(day_end_at) as day_end_at
    from calendar
),

books as (
    select
        account,
        min(role) as role
    from config_sources
    where source = 'invoice_csv'
    group by account
),

lines as (
    select
        stg_invoice_csv__lines.account,
        stg_invoice_csv__lines.invoice_id,
        stg_invoice_csv__lines.line_number,
        stg_invoice_csv__lines.billed_cost
    from stg_invoice_csv__lines
    inner join booked_until
        on stg_invoice_csv__lines.period_end_at <= booked_until.day_end_at
    left join books
        on stg_invoice_csv__lines.account = books.account
    where books.role is distinct from 'control'
),

line_days as (
    select
        account,
        invoice_id,
        line_number,
        sum(realized_cost) as booked_cost
    from int_gpu_charges_daily
    where source = 'invoice_csv'
    group by account, invoice_id, line_number
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
        lines.account = line_days.account
        and lines.invoice_id = line_days.invoice_id
        and lines.line_number = line_days.line_number
where lines.billed_cost is distinct from line_days.booked_cost
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
