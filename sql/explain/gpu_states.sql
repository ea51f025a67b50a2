-- The GPU-milliseconds of every state of the chosen resource-days: the weights by which their money is split.
select distinct
    states.usage_date,
    states.issuer,
    states.resource_id,
    states.gpu_uuid,
    states.deployment_id,
    states.state,
    states.gpu_milliseconds
from int_gpu_states_daily as states
inner join chosen_gpu_costs as chosen
    on
        states.usage_date = chosen.usage_date
        and states.issuer = chosen.issuer
        and states.resource_id = chosen.resource_id
order by
    states.usage_date, states.issuer, states.resource_id, states.gpu_uuid, states.state, states.deployment_id
