-- The rows of fct_api_costs_daily that a figure is made of. A filter that is NULL leaves its column open.
select
    *,
    row_number() over (
        order by
            usage_date,
            account,
            sub_account_id,
            api_key_id,
            model,
            charge_kind,
            token_class,
            service_tier,
            context_window,
            inference_geo,
            attribution,
            billing_currency,
            gateway_key_id,
            gateway_team_id
    ) as row_number
from fct_api_costs_daily
where
    usage_date >= cast($from_date as date)
    and usage_date < cast($to_date as date)
    and (cast($model as varchar) is null or model = $model)
    and (cast($account as varchar) is null or account = $account)
    and (cast($sub_account as varchar) is null or coalesce(sub_account_id, 'Default') = $sub_account)
    and (cast($api_key as varchar) is null or coalesce(api_key_id, 'none') = $api_key)
    and (cast($workload as varchar) is null or workload = $workload)
    and (cast($token_class as varchar) is null or coalesce(token_class, charge_kind) = $token_class)
    and (cast($provider as varchar) is null or provider = $provider)
    and (not $is_of_one_group or (model is not distinct from $group_model and team is not distinct from $group_team))
order by row_number
