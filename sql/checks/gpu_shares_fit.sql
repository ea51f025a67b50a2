-- law: gpu_shares_fit_the_gpu
-- scope: account
-- partition: month, days apart
-- The engines on a GPU have no more than all of it at any moment, nor of any hour, and no hour of a GPU has more than
-- an hour in states.
select
    usage_date,
    'gpu_shares_fit_the_gpu' as law,
    'host:' || host as scope,
    concat(
        gpu_uuid, ' ', usage_hour_at, ': engines claim ',
        sum(serving_milliseconds + loaded_idle_milliseconds + starting_milliseconds), ' of 3600000 ms.'
    ) as detail
from int_engine_hours
group by usage_date, host, gpu_uuid, usage_hour_at
having sum(serving_milliseconds + loaded_idle_milliseconds + starting_milliseconds) > 3600000
union all
select
    usage_date,
    'gpu_shares_fit_the_gpu' as law,
    'host:' || host as scope,
    concat(gpu_uuid, ' ', from_at, ': engines have ', sum(share_ppm), ' ppm of it.') as detail
from int_gpu_shares_interval
group by usage_date, host, gpu_uuid, from_at
having sum(share_ppm) > 1000000
union all
select
    usage_date,
    'gpu_shares_fit_the_gpu' as law,
    'host:' || host as scope,
    concat(gpu_uuid, ' ', usage_hour_at, ': in states for ', sum(gpu_milliseconds), ' of 3600000 ms.') as detail
from int_gpu_states_hourly
group by usage_date, host, gpu_uuid, usage_hour_at
having sum(gpu_milliseconds) > 3600000
