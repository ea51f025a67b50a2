-- What has come in the period, of each kind of input: one row. NULL where nothing of a kind has come.
with
api as (
    select
        provider,
        account,
        sum(billed_cost_rc) filter (where attribution != 'metered_only') as cost_rc,
        count(billed_cost) filter (where attribution != 'metered_only') as billed_rows_count,
        sum(tokens) as tokens
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date
    group by provider, account
),

apis as (
    select
        sum(cost_rc) as api_cost_rc,
        cast(sum(tokens) as bigint) as api_tokens,
        sum(cost_rc) filter (where tokens is null) as api_uncounted_cost_rc,
        min(provider || '/' || account) filter (where tokens is null and billed_rows_count > 0)
            as api_uncounted_account,
        min(provider || '/' || account) filter (where billed_rows_count = 0) as api_unbilled_account
    from api
),

gpus as (
    select
        sum(realized_cost_rc) as gpu_cost_rc,
        cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds,
        cast(sum(gpu_milliseconds) filter (where state = 'unobserved') as bigint) as unobserved_gpu_milliseconds,
        sum(realized_cost_rc) filter (where state = 'unobserved') as unobserved_cost_rc,
        count(distinct resource_id) as gpu_resource_count
    from fct_gpu_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and gpu_milliseconds is not null
),

engines as (
    select cast(sum(tokens) as bigint) as engine_tokens
    from int_engine_tokens_hourly
    where usage_date >= $from_date and usage_date < $to_date
),

gateways as (
    select count(*) as gateway_rows_count
    from int_estimated_charges_daily
    where usage_date >= $from_date and usage_date < $to_date
)

select
    apis.*,
    gpus.*,
    engines.engine_tokens,
    gateways.gateway_rows_count
from apis, gpus, engines, gateways
