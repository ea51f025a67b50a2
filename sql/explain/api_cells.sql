-- The cells of the bill that the chosen rows belong to: what one charge states, before it is split among keys. A charge
-- that names its key is a cell of its own. Usage that no bill charges has no source of a charge: billing is NULL.
select
    *,
    row_number() over (
        order by
            usage_date,
            source,
            account,
            sub_account_id,
            direct_api_key_id,
            model,
            charge_kind,
            token_class,
            service_tier,
            context_window,
            inference_geo,
            billing_currency
    ) as cell_number
from (
    select distinct
        usage_date,
        source,
        provider,
        account,
        sub_account_id,
        case when attribution = 'direct' then api_key_id end as direct_api_key_id,
        attribution = 'direct' as is_key_named,
        model,
        charge_kind,
        token_class,
        service_tier,
        context_window,
        inference_geo,
        billing_currency
    from chosen_costs
) as cells
