-- law: gpu_seen_is_paid_for
-- scope: account
-- partition: month
-- A resource's GPUs are not seen for longer than it is paid for. A minute a GPU is the issuer's rounding.
select
    usage_date,
    'gpu_seen_is_paid_for' as law,
    'issuer:' || issuer as scope,
    concat(
        usage_date, ' ', resource_id, ': ', observed_milliseconds, ' GPU-milliseconds seen, ', paid_milliseconds,
        ' paid for. Check gpu_count and the quantity of its lines.'
    ) as detail
from int_gpu_resource_time_daily
where is_paid and observed_milliseconds > paid_milliseconds + 60000 * greatest(seen_gpu_count, 1)
