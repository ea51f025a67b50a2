-- One row per usage_date, sub_account_id, model, service_tier.
-- Which tier a cell of OpenAI usage is of, so that bill and meter meet in it. The bill names a tier where its price is
-- not the standard one, and does not name each: a tier that the day's bills name is a cell of its own, and so are the
-- tokens given away for shared data, which no bill shows. What is left is the standard tier, if the meter knows of no
-- other there; else nobody can tell, and the tier of that cell is NULL.
-- It names no account: projects are OpenAI's own ids.
-- partition: month
with
billed as (
    select
        usage_date,
        sub_account_id,
        raw_model,
        service_tier
    from stg_openai_costs_api__costs_daily
    where charge_kind = 'tokens'
    union
    select
        usage_date,
        sub_account_id,
        raw_model,
        service_tier
    from stg_openai_dashboard_csv__costs_daily
    where charge_kind = 'tokens'
),

named_tiers as (
    select distinct
        usage_date,
        service_tier
    from billed
    where service_tier != 'standard'
),

met as (
    select
        usage_date,
        sub_account_id,
        raw_model,
        service_tier
    from billed
    union
    select
        usage_date,
        sub_account_id,
        raw_model,
        service_tier
    from stg_openai__usage_hourly
    where charge_kind = 'tokens'
),

seen as (
    select distinct
        met.usage_date,
        met.sub_account_id,
        int_api_model_names_daily.model,
        met.service_tier,
        named_tiers.service_tier is not null or coalesce(met.service_tier = 'incentivized', false) as is_apart
    from met
    left join int_api_model_names_daily
        on
            met.usage_date = int_api_model_names_daily.usage_date
            and int_api_model_names_daily.provider = 'openai'
            and met.raw_model = int_api_model_names_daily.raw_model
    left join named_tiers
        on
            met.usage_date = named_tiers.usage_date
            and met.service_tier = named_tiers.service_tier
),

final as (
    select
        usage_date,
        sub_account_id,
        model,
        service_tier,
        case
            when is_apart then service_tier
            when
                bool_and(is_apart or coalesce(service_tier = 'standard', false))
                    over (partition by usage_date, sub_account_id, model)
                then 'standard'
        end as cell_service_tier
    from seen
)

select * from final
