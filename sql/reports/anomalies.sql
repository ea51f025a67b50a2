-- Each settled day in the period: what cost unusually much or little, and what all of it came to together.
select
    usage_date,
    lane,
    account,
    sub_account_id,
    api_key_id,
    model,
    deployment_id,
    team,
    is_unusual,
    cost_rc,
    expected_cost_rc,
    usual_distance_rc,
    history_days_count
from fct_anomalies_daily
where usage_date >= $from_date and usage_date < $to_date
order by
    usage_date asc,
    lane asc,
    account asc nulls first,
    sub_account_id asc nulls first,
    api_key_id asc nulls first,
    model asc nulls first,
    deployment_id asc nulls first
