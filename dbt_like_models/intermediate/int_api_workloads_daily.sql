-- One row per usage_date, provider, account, sub_account_id, api_key_id, model, gateway_key_id, gateway_team_id.
-- The one workload each API cell belongs to, by the rules in force that day. Cells claimed by no workload, or by two,
-- are `unassigned`; `claiming_rules` says which rules spoke, and a check fails where they disagree.
-- partition: month, days apart
with
cells as (
    select
        usage_date,
        provider,
        account,
        sub_account_id,
        api_key_id,
        model,
        cast(null as varchar) as gateway_key_id,
        cast(null as varchar) as gateway_team_id
    from int_api_charges_daily
    union
    select
        usage_date,
        provider,
        account,
        sub_account_id,
        api_key_id,
        model,
        gateway_key_id,
        gateway_team_id
    from int_api_usage_parts_hourly
),

rules as (
    select
        config_workload_rules.*,
        -- A rule may name a model as any export does: by id, dated id or display name.
        regexp_replace(config_workload_rules.model, '-20[0-9]{6}$', '') as undated_model
    from config_workload_rules
    where config_workload_rules.served_name is null and config_workload_rules.deployment_id is null
),

claims as (
    select
        cells.usage_date,
        cells.provider,
        cells.account,
        cells.sub_account_id,
        cells.api_key_id,
        cells.model,
        cells.gateway_key_id,
        cells.gateway_team_id,
        count(distinct rules.workload) as claiming_workload_count,
        min(rules.workload) as claiming_workload,
        string_agg(distinct rules.rule_id, ', ' order by rules.rule_id) as claiming_rules
    from cells
    inner join rules
        on
            (rules.valid_from_date is null or cells.usage_date >= rules.valid_from_date)
            and (rules.valid_to_date is null or cells.usage_date < rules.valid_to_date)
            and (rules.provider is null or cells.provider = rules.provider)
            and (rules.account is null or cells.account = rules.account)
            and (rules.sub_account is null or coalesce(cells.sub_account_id, 'Default') = rules.sub_account)
            and (rules.api_key is null or cells.api_key_id = rules.api_key)
            and (rules.gateway_key is null or cells.gateway_key_id = rules.gateway_key)
            and (rules.gateway_team is null or cells.gateway_team_id = rules.gateway_team)
    left join model_aliases
        on
            rules.model = model_aliases.raw_name
            and cells.provider = model_aliases.provider
            and (model_aliases.valid_from_date is null or cells.usage_date >= model_aliases.valid_from_date)
            and (model_aliases.valid_to_date is null or cells.usage_date < model_aliases.valid_to_date)
    where rules.model is null or cells.model in (rules.model, rules.undated_model, model_aliases.model)
    group by all
),

teams as (
    select
        claims.usage_date,
        claims.claiming_workload,
        min(config_workloads.team) as team,
        count(distinct config_workloads.team) as team_count
    from claims
    inner join config_workloads
        on
            claims.claiming_workload = config_workloads.workload
            and (config_workloads.valid_from_date is null or claims.usage_date >= config_workloads.valid_from_date)
            and (config_workloads.valid_to_date is null or claims.usage_date < config_workloads.valid_to_date)
    group by all
),

final as (
    select
        cells.usage_date,
        cells.provider,
        cells.account,
        cells.sub_account_id,
        cells.api_key_id,
        cells.model,
        cells.gateway_key_id,
        cells.gateway_team_id,
        case when claims.claiming_workload_count = 1 then claims.claiming_workload else 'unassigned' end as workload,
        case when claims.claiming_workload_count = 1 and teams.team_count = 1 then teams.team end as team,
        coalesce(claims.claiming_workload_count, 0) as claiming_workload_count,
        claims.claiming_rules
    from cells
    left join claims
        on
            cells.usage_date = claims.usage_date
            and cells.provider = claims.provider
            and cells.account = claims.account
            and cells.sub_account_id is not distinct from claims.sub_account_id
            and cells.api_key_id is not distinct from claims.api_key_id
            and cells.model is not distinct from claims.model
            and cells.gateway_key_id is not distinct from claims.gateway_key_id
            and cells.gateway_team_id is not distinct from claims.gateway_team_id
    left join teams
        on
            claims.usage_date = teams.usage_date
            and claims.claiming_workload = teams.claiming_workload
)

select * from final
