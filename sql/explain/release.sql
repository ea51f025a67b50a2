-- One published answer of what may be released.
select *
from fct_scale_downs_daily
where deployment_id = $deployment and usage_date = cast($usage_date as date)
