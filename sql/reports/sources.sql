-- Every configured or landed dataset that states days, and since when it is silent, whatever the period.
select
    source,
    account,
    dataset,
    issuer,
    role,
    last_usage_date,
    silent_since_date
from dim_source
where is_invoice is distinct from true
order by source, account, dataset nulls last
