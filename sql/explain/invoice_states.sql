-- In which states the money stands of the resource-days that the invoice bills, with what other invoices bill there.
with
resource_days as (
    select distinct
        usage_date,
        issuer,
        account,
        resource_id,
        billing_currency
    from int_gpu_charges_daily
    where line_number is not null and invoice_id = $invoice_id
)

select
    costs.resource_id,
    costs.deployment_id,
    costs.state,
    costs.billing_currency,
    count(distinct costs.usage_date) as days_count,
    sum(costs.gpu_milliseconds) as gpu_milliseconds,
    sum(costs.realized_cost) as realized_cost
from fct_gpu_costs_daily as costs
inner join resource_days
    on
        costs.usage_date = resource_days.usage_date
        and costs.issuer = resource_days.issuer
        and costs.account = resource_days.account
        and costs.resource_id is not distinct from resource_days.resource_id
        and costs.billing_currency = resource_days.billing_currency
where costs.cost_measure = 'billed'
group by costs.resource_id, costs.deployment_id, costs.state, costs.billing_currency
order by costs.resource_id, costs.deployment_id, costs.state, costs.billing_currency
