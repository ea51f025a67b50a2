-- Of each workload with a tuned model on an API, its newest verdict once more with hosting; what training costs once.
select *
from fct_tuned_models_daily
where usage_date < $to_date
qualify usage_date = max(usage_date) over (partition by workload)
order by workload
