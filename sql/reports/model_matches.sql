-- Of each workload with a deployment, how its API models and the served one are related, on the day of its newest
-- settled verdict of the period. One row per workload, api_provider, api_model.
with
newest as (
    select
        workload,
        max(usage_date) as usage_date
    from fct_verdicts_daily
    where status != 'not_settled' and usage_date >= $from_date and usage_date < $to_date
    group by workload
)

select matches.*
from newest
inner join fct_model_matches_daily as matches
    on newest.workload = matches.workload and newest.usage_date = matches.usage_date
order by matches.workload, matches.api_provider, matches.api_model
