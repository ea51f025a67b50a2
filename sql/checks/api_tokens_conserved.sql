-- law: tokens_are_conserved
-- scope: account
-- partition: month, days apart
-- What the vendors' meters say is what fct_api_costs_daily holds per account and day, and that is, class by class, what
-- fct_demand_daily holds over all accounts. Anthropic counts disjoint classes, each compared by itself; OpenAI and
-- Fireworks count all input and all output, to which their classes must come; a small provider's bill states classes.
-- None is lost or counted twice.
with
openai_results as (
    select
        'openai_usage_api' as source,
        'completions' as dataset,
        account,
        usage_date,
        input_tokens,
        output_tokens
    from landed_openai_usage_api__completions
    union all
    select
        'openai_usage_api' as source,
        'decisions' as dataset,
        account,
        usage_date,
        input_tokens,
        output_tokens
    from landed_openai_usage_api__decisions
    union all
    select
        'openai_usage_api' as source,
        'embeddings' as dataset,
        account,
        usage_date,
        input_tokens,
        cast(null as bigint) as output_tokens
    from landed_openai_usage_api__embeddings
    union all
    select
        'openai_usage_api' as source,
        'moderations' as dataset,
        account,
        usage_date,
        input_tokens,
        cast(null as bigint) as output_tokens
    from landed_openai_usage_api__moderations
    union all
    select
        'openai_dashboard_csv' as source,
        'completions' as dataset,
        account,
        usage_date,
        input_tokens,
        output_tokens
    from landed_openai_dashboard_csv__completions
    union all
    select
        'openai_dashboard_csv' as source,
        'decisions' as dataset,
        account,
        usage_date,
        input_tokens,
        output_tokens
    from landed_openai_dashboard_csv__decisions
    union all
    select
        'openai_dashboard_csv' as source,
        'embeddings' as dataset,
        account,
        usage_date,
        input_tokens,
        cast(null as bigint) as output_tokens
    from landed_openai_dashboard_csv__embeddings
    union all
    select
        'openai_dashboard_csv' as source,
        'moderations' as dataset,
        account,
        usage_date,
        input_tokens,
        cast(null as bigint) as output_tokens
    from landed_openai_dashboard_csv__moderations
),

-- A day that the API vouches for is counted from there, whatever an export beside it says.
openai_counted as (
    select openai_results.*
    from openai_results
    left join landed_coverage
        on
            openai_results.source = 'openai_dashboard_csv'
            and landed_coverage.source = 'openai_usage_api'
            and landed_coverage.is_complete
            and openai_results.account = landed_coverage.account
            and openai_results.dataset = landed_coverage.dataset
            and openai_results.usage_date = landed_coverage.usage_date
    left join config_sources
        on
            openai_results.source = config_sources.source
            and openai_results.dataset = config_sources.dataset
            and openai_results.account = config_sources.account
    where landed_coverage.source is null and coalesce(config_sources.role, 'metered') != 'control'
),

-- Where a GPU was paid by the second, or a model was trained, no token price is for the tokens.
fireworks_counted as (
    select events.*
    from landed_fireworks_costs__usage as events
    left join config_sources
        on
            config_sources.source = 'fireworks_costs'
            and config_sources.dataset = 'metrics'
            and events.account = config_sources.account
    where
        events.usage_type = 'TEXT_COMPLETION_INFERENCE_USAGE'
        and (events.accelerator_seconds is null or cast(events.accelerator_seconds as decimal(38, 18)) = 0)
        and coalesce(config_sources.role, 'metered') != 'control'
),

-- Small providers' bills state classes too.
bill_counted as (
    select bill_lines.*
    from landed_api_bills__lines as bill_lines
    left join config_sources
        on
            bill_lines.source = config_sources.source
            and bill_lines.account = config_sources.account
    where bill_lines.tokens is not null and coalesce(config_sources.role, 'book') != 'control'
),

landed as (
    select
        'anthropic' as provider,
        account,
        usage_date,
        'input_uncached' as measure,
        sum(uncached_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        'anthropic' as provider,
        account,
        usage_date,
        'input_cache_read' as measure,
        sum(cache_read_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        'anthropic' as provider,
        account,
        usage_date,
        'input_cache_write_5m' as measure,
        sum(cache_creation_5m_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        'anthropic' as provider,
        account,
        usage_date,
        'input_cache_write_1h' as measure,
        sum(cache_creation_1h_input_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        'anthropic' as provider,
        account,
        usage_date,
        'output' as measure,
        sum(output_tokens) as tokens
    from landed_anthropic_usage_api__usage
    group by account, usage_date
    union all
    select
        'openai' as provider,
        account,
        usage_date,
        'input' as measure,
        sum(input_tokens) as tokens
    from openai_counted
    group by account, usage_date
    union all
    select
        'openai' as provider,
        account,
        usage_date,
        'output' as measure,
        sum(output_tokens) as tokens
    from openai_counted
    group by account, usage_date
    union all
    select
        provider,
        account,
        usage_date,
        token_class as measure,
        sum(tokens) as tokens
    from bill_counted
    group by provider, account, usage_date, token_class
    union all
    select
        'fireworks' as provider,
        account,
        usage_date,
        'input' as measure,
        sum(prompt_tokens) as tokens
    from fireworks_counted
    group by account, usage_date
    union all
    select
        'fireworks' as provider,
        account,
        usage_date,
        'output' as measure,
        sum(completion_tokens) as tokens
    from fireworks_counted
    group by account, usage_date
),

costed as (
    select
        provider,
        account,
        usage_date,
        case
            when provider in ('openai', 'fireworks') then split_part(token_class, '_', 1)
            else token_class
        end as measure,
        sum(tokens) as tokens
    from fct_api_costs_daily
    where tokens is not null
    group by all
),

costed_classes as (
    select
        usage_date,
        token_class,
        sum(tokens) as tokens
    from fct_api_costs_daily
    where tokens is not null
    group by usage_date, token_class
),

demanded_classes as (
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
    select
        provider,
        account,
        usage_date,
        case when provider in ('openai', 'fireworks') then split_part(measure, '_', 1) else measure end as measure,
        sum(tokens) as tokens
    from landed
    group by all
    having sum(tokens) != 0
),

compared as (
    select
        'account:' || coalesce(landed_some.account, costed.account) as scope,
        coalesce(landed_some.usage_date, costed.usage_date) as usage_date,
        coalesce(landed_some.measure, costed.measure) as measure,
        'the usage report says' as expected_from,
        landed_some.tokens as expected_tokens,
        'fct_api_costs_daily' as mart,
        costed.tokens as told_tokens
    from landed_some
    full outer join costed
        on
            landed_some.provider = costed.provider
            and landed_some.account = costed.account
            and landed_some.usage_date = costed.usage_date
            and landed_some.measure = costed.measure
    union all
    select
        'all' as scope,
        coalesce(costed_classes.usage_date, demanded_classes.usage_date) as usage_date,
        coalesce(costed_classes.token_class, demanded_classes.token_class) as measure,
        'fct_api_costs_daily says' as expected_from,
        costed_classes.tokens as expected_tokens,
        'fct_demand_daily' as mart,
        demanded_classes.tokens as told_tokens
    from costed_classes
    full outer join demanded_classes
        on
            costed_classes.usage_date = demanded_classes.usage_date
            and costed_classes.token_class = demanded_classes.token_class
)

select
    usage_date,
    'tokens_are_conserved' as law,
    scope,
    concat(
        usage_date,
        ' ',
        measure,
        ': ',
        expected_from,
        ' ',
        coalesce(cast(expected_tokens as varchar), 'no'),
        ' tokens, ',
        mart,
        ' holds ',
        coalesce(cast(told_tokens as varchar), 'none'),
        '.'
    ) as detail
from compared
where expected_tokens is distinct from told_tokens
