-- The rule that decides when a side has changed.
select
    enter_ratio,
    exit_ratio,
    dwell_days,
    cooldown_days,
    regret_one_off_cost,
    regret_alpha
from config_company
where valid_to_date is null
