-- law: engine_counters_agree
-- scope: account
-- partition: month
-- What an engine counts twice it counts alike: prompt tokens computed and found in caches are all prompt tokens; what
-- all its steps worked on is prompts and generated tokens. A scrape may fall between two counts, but not every one of a
-- day.
select
    usage_date,
    'engine_counters_agree' as law,
    'host:' || host as scope,
    concat(
        usage_date, ' ', target, ' ', model_name, ': counters that must agree differ by ', least_identity_gap_tokens,
        ' tokens or more in each of ', identity_count, ' scrapes: its tokens are not to be trusted.'
    ) as detail
from int_engine_targets_daily
where identity_count >= 3 and least_identity_gap_tokens > 0
