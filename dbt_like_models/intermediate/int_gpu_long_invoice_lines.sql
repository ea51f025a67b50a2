-- One row per usage_date, account, invoice_id, line_number.
-- Lines of GPU invoices whose period is longer than the year that charges look back on: commitments prepaid for years.
-- There are few, and a month reads all of them.
-- partition: none
select * from stg_invoice_csv__lines
where period_end_at > period_start_at + interval 366 day
