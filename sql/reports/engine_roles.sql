-- Deployments of which one engine computes prompts and another generates, and what of their counters is not counted
-- because the other has counted it. Prompts beyond those that prefill engines counted are of nobody that is seen.
select
    deployment_id,
    count(distinct host || ' ' || target) filter (where engine_role = 'prefill') as prefill_count,
    count(distinct host || ' ' || target) filter (where engine_role = 'decode') as decode_count,
    string_agg(distinct role_method, '+' order by role_method) as role_methods,
    cast(coalesce(sum(prompt_tokens) filter (where engine_role = 'prefill'), 0) as bigint) as prefill_prompt_tokens,
    cast(coalesce(sum(prompt_tokens) filter (where engine_role = 'decode'), 0) as bigint) as decode_prompt_tokens,
    cast(coalesce(sum(prompt_tokens) filter (where not counts_prompts), 0) as bigint) as repeated_prompt_tokens,
    cast(coalesce(sum(output_tokens) filter (where not counts_outputs), 0) as bigint) as repeated_output_tokens
from int_engine_roles_daily
where usage_date >= $from_date and usage_date < $to_date
group by deployment_id
order by deployment_id
