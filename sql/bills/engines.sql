-- What the engines of the spool files served between scrapes, by model. Without a baseline nothing is counted.
select
    'spool' as account,
    model_name as model,
    cast(sum(input_uncached_tokens) as bigint) as input_uncached_tokens,
    cast(sum(input_cache_read_tokens) as bigint) as input_cache_read_tokens,
    bool_and(has_cached_counter) as has_cached_counter,
    cast(sum(output_tokens) as bigint) as output_tokens
from int_engine_intervals
where baseline != 'unknown'
group by all
order by all
