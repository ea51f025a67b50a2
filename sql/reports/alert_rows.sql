-- Every state, oldest first.
select * from fct_alert_states_daily order by workload, usage_date
