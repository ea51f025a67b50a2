-- Requests that a deployment's engines answered in each step of $step_ms milliseconds, numbered since the epoch, of the
-- 28 days that end with its newest; steps that no engine was watched through are left out.
with
intervals as (
    select
        intervals.usage_date,
        intervals.request_count,
        epoch_ms(intervals.spread_from_at) as from_ms,
        epoch_ms(intervals.spread_to_at) as to_ms
    from int_engine_intervals as intervals
    inner join int_engine_deployments_daily as deployments
        on
            intervals.usage_date = deployments.usage_date
            and intervals.host = deployments.host
            and intervals.target = deployments.target
            and intervals.model_name = deployments.model_name
    where
        deployments.deployment_id = $deployment
        and intervals.is_timed
        and intervals.request_count is not null
),

-- An interval that is no longer than a step lies in two of them at most.
timed as (
    select
        *,
        to_ms - from_ms as whole_ms
    from intervals
    where
        to_ms - from_ms between 1 and $step_ms
        and usage_date > (select max(newest.usage_date) - 28 from intervals as newest)
),

parts as (
    select
        from_ms // $step_ms as step,
        least(to_ms, (from_ms // $step_ms + 1) * $step_ms) - from_ms as part_ms,
        request_count,
        whole_ms
    from timed
    union all
    select
        to_ms // $step_ms as step,
        to_ms % $step_ms as part_ms,
        request_count,
        whole_ms
    from timed
    where to_ms // $step_ms > from_ms // $step_ms and to_ms % $step_ms > 0
)

select
    step,
    sum(request_count * part_ms / whole_ms) as requests
from parts
group by step
having sum(part_ms) >= 0.95 * $step_ms
order by step
