-- Each workload's demand beside its break-even, day by day.
select
    workload,
    usage_date,
    status,
    demand_tokens_per_day,
    breakeven_first_tokens_per_day,
    breakeven_stable_tokens_per_day
from fct_verdicts_daily
where usage_date >= $from_date and usage_date < $to_date
order by workload, usage_date
