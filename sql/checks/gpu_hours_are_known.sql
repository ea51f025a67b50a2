-- law: gpu_hours_are_known
-- scope: account
-- partition: month
-- Every line that bills a GPU resource says, or has declared, how many GPUs it is: without that its money has no hours.
select
    usage_date,
    'gpu_hours_are_known' as law,
    'account:' || account as scope,
    concat(
        usage_date, ' ', resource_id, ', ', charge_id, ': billed, but nobody says for how many GPUs. ',
        'Declare it under gpu_resources.'
    ) as detail
from int_gpu_charges_daily
where charge_kind = 'gpu_instance' and is_gpu_charge and realized_cost > 0 and gpu_milliseconds is null
