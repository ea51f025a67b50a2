-- What a meter counts that no token price is for: GPU seconds and tokens of deployments and training, by their type.
select
    account,
    usage_type,
    accelerator_type,
    raw_model,
    min(usage_date) as from_date,
    max(usage_date) as last_date,
    cast(sum(other_input_tokens) as bigint) as other_input_tokens,
    cast(sum(other_output_tokens) as bigint) as other_output_tokens,
    cast(sum(accelerator_seconds) as decimal(38, 18)) as accelerator_seconds,
    cast(sum(event_count) as bigint) as event_count
from stg_fireworks_costs__usage_hourly
where charge_kind = 'other'
group by all
order by all
