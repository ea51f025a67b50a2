-- What is billed for the tuned model of a workload, of the 400 days up to a day: hosting, and training.
select
    usage_date,
    other_kind,
    account,
    charge_description,
    billed_cost,
    billing_currency,
    billed_cost_rc
from fct_api_other_charges_daily
where
    workload = $workload
    and other_kind in ('fine_tune_training', 'tuned_model_hosting')
    and usage_date >= cast($usage_date as date) - 400
    and usage_date <= cast($usage_date as date)
order by usage_date, other_kind, account, charge_description, billing_currency, billed_cost
