-- Landed charges of the owned machines named, a row a day and kind.
select
    usage_date,
    account,
    asset_id,
    charge_kind,
    currency,
    amount,
    quantity,
    unit,
    object_number,
    object_row
from traced_owned_gpus__charges
where list_contains($assets, asset_id)
order by usage_date, account, asset_id, charge_kind
