-- What was agreed for the chosen accrued rows: the rate and the GPUs of each resource on each day.
select distinct
    chosen.usage_date,
    chosen.issuer,
    chosen.resource_id,
    agreed.gpu_count,
    agreed.contract_rate_per_gpu_hour,
    agreed.currency,
    agreed.valid_from_date,
    agreed.valid_to_date
from chosen_gpu_costs as chosen
inner join config_gpu_resources as agreed
    on
        chosen.issuer = agreed.issuer
        and chosen.resource_id = agreed.resource_id
        and chosen.usage_date >= coalesce(agreed.valid_from_date, chosen.usage_date)
        and chosen.usage_date < coalesce(agreed.valid_to_date, chosen.usage_date + 1)
where chosen.cost_measure = 'accrued'
order by chosen.usage_date, chosen.resource_id
