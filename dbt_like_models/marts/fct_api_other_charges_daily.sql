-- One row per usage_date, source, account, sub_account_id, charge_description, quantity_unit, billing_currency.
-- What an API's bill charges that no request's tokens cost: images and audio by their own unit, training of a tuned
-- model (spent once), hosting of one (due whatever is used), and the rest. Known by the words of the line; a line that
-- says nothing of the kind is other. Of the book alone; a part of fct_api_costs_daily, never beside it in a sum.
-- partition: month, days apart
with
stated as (
    select
        *,
        'openai_costs_api' as source
    from stg_openai_costs_api__costs_daily
    union all by name
    select
        *,
        'openai_dashboard_csv' as source
    from stg_openai_dashboard_csv__costs_daily
),

rates as (
    select * from int_fx_rates_daily
),

reporting as (
    select
        days.usage_date,
        min(config_company.reporting_currency) as reporting_currency
    from (select distinct usage_date from stated) as days
    inner join config_company
        on
            (config_company.valid_from_date is null or days.usage_date >= config_company.valid_from_date)
            and (config_company.valid_to_date is null or days.usage_date < config_company.valid_to_date)
    group by days.usage_date
    having count(distinct config_company.reporting_currency) = 1
),

books as (
    select distinct
        usage_date,
        source,
        account
    from int_api_charges_daily
    where is_book
),

told as (
    select
        stated.*,
        int_api_model_names_daily.model,
        -- What an unknown class of tokens is called says what they are for; `input` of a tuned model is a request's.
        replace(
            lower(
                case
                    when stated.charge_kind = 'tokens' then stated.token_class
                    else coalesce(stated.charge_description, '')
                end
            ),
            '_',
            ' '
        ) as words,
        coalesce(stated.quantity_unit, '') as stated_unit
    from stated
    inner join books
        on
            stated.usage_date = books.usage_date
            and stated.source = books.source
            and stated.account = books.account
    left join int_api_model_names_daily
        on
            stated.usage_date = int_api_model_names_daily.usage_date
            and int_api_model_names_daily.provider = 'openai'
            and stated.raw_model = int_api_model_names_daily.raw_model
),

kinds as (
    select
        *,
        case
            when regexp_matches(words, '\bhosting\b') then 'tuned_model_hosting'
            when regexp_matches(words, '\b(training|fine[- ]?tuning)\b') then 'fine_tune_training'
            when charge_kind = 'tokens' then 'tokens'
            when charge_kind in ('web_search', 'code_execution') then charge_kind
            when stated_unit = 'images' or regexp_matches(words, '\bimages?\b') then 'images'
            when starts_with(stated_unit, 'duration_') or stated_unit = 'characters' then 'audio'
            when regexp_matches(words, '\b(audio|speech|transcription|transcribe|tts|whisper)\b') then 'audio'
            else 'other'
        end as other_kind
    from told
),

units as (
    select
        *,
        case
            when stated_unit = 'images' then 'image'
            when stated_unit = 'characters' then 'million_characters'
            when stated_unit in ('tokens', '1000_tokens') then 'million_tokens'
            when not starts_with(stated_unit, 'duration_') then null
            when other_kind = 'tuned_model_hosting' then 'hour'
            else 'minute'
        end as unit,
        case stated_unit
            when 'images' then cast(1 as double)
            when 'characters' then 1000000
            when 'tokens' then 1000000
            when '1000_tokens' then 1000
            when 'duration_seconds' then if(other_kind = 'tuned_model_hosting', 3600, 60)
            when 'duration_minutes' then if(other_kind = 'tuned_model_hosting', 60, 1)
            when 'duration_hours' then if(other_kind = 'tuned_model_hosting', 1, cast(1 as double) / 60)
        end as quantity_per_unit
    from kinds
),

in_quanta as (
    select
        units.*,
        reporting.reporting_currency,
        case
            when coalesce(units.billing_currency != reporting.reporting_currency, true)
                then cast(replace(cast(abs(units.billed_cost) as varchar), '.', '') as hugeint)
        end as billed_quanta
    from units
    left join reporting
        on units.usage_date = reporting.usage_date
    where units.other_kind != 'tokens'
),

-- As fct_api_costs_daily converts: quanta of 10^-18 x multiplier / divisor, half away from zero.
converted as (
    select
        in_quanta.*,
        case
            when in_quanta.billing_currency = in_quanta.reporting_currency then in_quanta.billed_cost
            else
                case when in_quanta.billed_cost < 0 then -1 else 1 end
                * cast(
                    in_quanta.billed_quanta // rates.divisor * rates.multiplier
                    + (in_quanta.billed_quanta % rates.divisor * rates.multiplier * 2 + rates.divisor)
                    // (rates.divisor * 2) as decimal(38, 0)
                )
                * cast('0.000000000000000001' as decimal(19, 18))
        end as billed_cost_rc
    from in_quanta
    left join rates
        on in_quanta.usage_date = rates.usage_date and in_quanta.billing_currency = rates.currency
),

final as (
    select
        converted.usage_date,
        converted.source,
        converted.account,
        converted.sub_account_id,
        converted.charge_description,
        converted.quantity_unit,
        converted.billing_currency,
        converted.other_kind,
        coalesce(int_api_workloads_daily.workload, 'unassigned') as workload,
        converted.billed_cost,
        cast(converted.billed_cost_rc as decimal(38, 18)) as billed_cost_rc,
        converted.billed_quantity,
        converted.unit,
        converted.quantity_per_unit,
        case
            when converted.unit is not null and converted.billed_quantity > 0
                then
                    cast(converted.billed_cost as double)
                    / cast(converted.billed_quantity as double)
                    * converted.quantity_per_unit
        end as billed_cost_per_unit
    from converted
    left join int_api_workloads_daily
        on
            converted.usage_date = int_api_workloads_daily.usage_date
            and int_api_workloads_daily.provider = 'openai'
            and converted.account = int_api_workloads_daily.account
            and converted.sub_account_id is not distinct from int_api_workloads_daily.sub_account_id
            and int_api_workloads_daily.api_key_id is null
            and int_api_workloads_daily.gateway_key_id is null
            and int_api_workloads_daily.gateway_team_id is null
            and converted.model is not distinct from int_api_workloads_daily.model
)

select * from final
