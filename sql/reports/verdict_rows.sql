-- Every verdict of the days that are asked, oldest first: what the outbox compares with what was announced.
select * from fct_verdicts_daily order by workload, usage_date
