-- What the reconciliation says of an invoice; accounts of several issuers may number theirs alike.
select *
from fct_reconciliation_invoice
where invoice_id = $invoice_id
order by issuer, account
