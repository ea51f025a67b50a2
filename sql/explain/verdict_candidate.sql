-- What is declared on a day of a deployment that a workload might have, with the GPU type it names; of a name without a
-- variant, the fastest of its variants.
select
    config_candidates.*,
    gpu_types.bf16_teraflops,
    gpu_types.eight_bit_teraops,
    gpu_types.four_bit_teraops,
    gpu_types.memory_terabytes_per_second,
    gpu_types.memory_gigabytes,
    gpu_types.source as gpu_source,
    gpu_types.read_on_date as gpu_read_on_date
from config_candidates
left join gpu_types
    on
        lower(config_candidates.gpu_type) = lower(gpu_types.gpu_type)
        or starts_with(lower(gpu_types.gpu_type), lower(config_candidates.gpu_type) || '-')
where
    config_candidates.workload = $workload
    and cast($usage_date as date) >= coalesce(config_candidates.valid_from_date, cast($usage_date as date))
    and cast($usage_date as date) < coalesce(config_candidates.valid_to_date, cast($usage_date as date) + 1)
qualify row_number() over (
    partition by config_candidates.workload
    order by
        lower(config_candidates.gpu_type) = lower(gpu_types.gpu_type) desc,
        gpu_types.bf16_teraflops desc,
        gpu_types.memory_gigabytes desc
) = 1
