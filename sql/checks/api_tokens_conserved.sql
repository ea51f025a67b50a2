-- law: tokens_are_conserved
-- scope: account
-- partition: none
-- Every token class sums to the landed total per account and day in fct_api_costs_daily, and over all accounts in
-- fct_demand_daily: the classes are disjoint and none is lost or counted twice.
with
landed as (
    select
        account,
        usage_date,
        'input_uncached' as token_class,
        sum(uncached_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        account,
        usage_date,
        'input_cache_read' as token_class,
        sum(cache_read_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        account,
        usage_date,
        'input_cache_write_5m' as token_class,
        sum(cache_creation_5m_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        account,
        usage_date,
        'input_cache_write_1h' as token_class,
        sum(cache_creation_1h_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        account,
        usage_date,
        'output' as token_class,
        sum(output_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
),

costed as (
    select
        account,
        usage_date,
        token_class,
        sum(tokens) as tokens
    from fct_api_costs_daily
    where tokens is not null
    group by account, usage_date, token_class
),

demanded as (
    select
        usage_date,
        token_class,
        sum(tokens) as tokens
    from fct_demand_daily
    where lane = 'api'
    group by usage_date, token_class
),

-- Zero and nothing are the same count of tokens here: a class that was never used has no row.
landed_some as (
    select * from landed
    where tokens != 0
),

compared as (
    select
        'account:' || coalesce(landed_some.account, costed.account) as scope,
        coalesce(landed_some.usage_date, costed.usage_date) as usage_date,
        coalesce(landed_some.token_class, costed.token_class) as token_class,
        'fct_api_costs_daily' as mart,
        landed_some.tokens as landed_tokens,
        costed.tokens as told_tokens
    from landed_some
    full outer join costed
        on
            landed_some.account = costed.account
            and landed_some.usage_date = costed.usage_date
            and landed_some.token_class = costed.token_class
    union all
    select
        'all' as scope,
        coalesce(totals.usage_date, demanded.usage_date) as usage_date,
        coalesce(totals.token_class, demanded.token_class) as token_class,
        'fct_demand_daily' as mart,
        totals.tokens as landed_tokens,
        demanded.tokens as told_tokens
    from
        (
            select
                usage_date,
                token_class,
                sum(tokens) as tokens
            from landed_some
            group by usage_date, token_class
        ) as totals
    full outer join demanded
        on
            totals.usage_date = demanded.usage_date
            and totals.token_class = demanded.token_class
)

select
    'tokens_are_conserved' as law,
    scope,
    concat(
        usage_date,
        ' ',
        token_class,
        ': the usage report says ',
        coalesce(cast(landed_tokens as varchar), 'no'),
        ' tokens, ',
        mart,
        ' holds ',
        coalesce(cast(told_tokens as varchar), 'none'),
        '.'
    ) as detail
from compared
where landed_tokens is distinct from told_tokens
