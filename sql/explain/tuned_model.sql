-- The verdict with what its tuned model costs beside tokens, as published.
select *
from fct_tuned_models_daily
where workload = $workload and usage_date = cast($usage_date as date)
