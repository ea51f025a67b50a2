-- law: gpu_invoice_reconciles
-- scope: account
-- partition: none
-- An invoice that states its total has lines that add up to it.
select
    'gpu_invoice_reconciles' as law,
    'account:' || account as scope,
    concat(
        'invoice ', invoice_id, ': payable ', coalesce(cast(payable_cost as varchar), 'unknown'), ', lines ',
        coalesce(cast(lines_cost as varchar), 'none'), ', residual ',
        coalesce(cast(residual_cost as varchar), 'unknown'), ' ', billing_currency, '.'
    ) as detail
from fct_reconciliation_invoice
where status = 'residual'
