-- One row per usage_date, source, account, invoice_id, line_number.
-- Lines of GPU bills whose period is longer than the year that charges look back on: commitments prepaid for years.
-- There are few, and a month reads all of them.
-- partition: none
select * from int_gpu_bill_lines
where period_end_at > period_start_at + interval 366 day
