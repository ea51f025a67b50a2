-- Each budget in each month that the days given touch, newest month first: what was spent, and where it is heading.
select *
from fct_budgets_monthly
where month_from_date < $to_date and month_from_date + interval 1 month > $from_date
order by month_from_date desc, scope != 'organisation' asc, scope asc, scope_name asc nulls first
