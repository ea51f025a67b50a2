-- law: cloud_money_is_conserved
-- scope: account
-- partition: month
-- What cloud bills say was billed, added up when they were read, is what fct_cloud_charges_daily holds: no SQL model
-- stands between the two sums. The other costs and the lines come from staging to the mart whole, but for the fee of a
-- declared capacity block, whose effective cost is that of the days of the block.
with
stated as (
    select
        source,
        account,
        usage_date,
        billing_currency,
        sum(stated_amount) as billed_cost
    from landed_money
    where home = 'cloud'
    group by source, account, usage_date, billing_currency
),

staged_charges as (
    select
        source,
        account,
        usage_date,
        billing_currency,
        effective_cost,
        list_cost,
        contracted_cost,
        line_count
    from stg_aws_cur2__charges_daily
    union all
    select
        source,
        account,
        usage_date,
        billing_currency,
        effective_cost,
        list_cost,
        contracted_cost,
        line_count
    from stg_focus__charges_daily
    union all
    select
        fees.source,
        fees.account,
        fees.usage_date,
        fees.billing_currency,
        -fees.effective_cost as effective_cost,
        null as list_cost,
        null as contracted_cost,
        0 as line_count
    from int_capacity_block_fees as fees
    cross join this_partition
    where
        fees.block_count = 1
        and fees.usage_date >= this_partition.from_date
        and fees.usage_date < this_partition.to_date
    union all
    select
        source,
        account,
        usage_date,
        billing_currency,
        block_cost as effective_cost,
        null as list_cost,
        null as contracted_cost,
        0 as line_count
    from int_capacity_block_days
),

staged as (
    select
        source,
        account,
        usage_date,
        billing_currency,
        concat_ws(
            ' / ',
            coalesce(cast(sum(effective_cost) as varchar), 'unknown'),
            coalesce(cast(sum(list_cost) as varchar), 'unknown'),
            coalesce(cast(sum(contracted_cost) as varchar), 'unknown')
        ) as other_costs,
        sum(line_count) as line_count
    from staged_charges
    group by source, account, usage_date, billing_currency
),

told as (
    select
        source,
        account,
        usage_date,
        billing_currency,
        -- A day that has nothing but a part of a block has no statement that anything was billed.
        sum(billed_cost) filter (where line_count != 0 or billed_cost != 0) as billed_cost,
        concat_ws(
            ' / ',
            coalesce(cast(sum(effective_cost) as varchar), 'unknown'),
            coalesce(cast(sum(list_cost) as varchar), 'unknown'),
            coalesce(cast(sum(contracted_cost) as varchar), 'unknown')
        ) as other_costs,
        sum(line_count) as line_count
    from fct_cloud_charges_daily
    group by source, account, usage_date, billing_currency
),

compared as (
    select
        coalesce(stated.source, staged.source, told.source) as source,
        coalesce(stated.account, staged.account, told.account) as account,
        coalesce(stated.usage_date, staged.usage_date, told.usage_date) as usage_date,
        coalesce(stated.billing_currency, staged.billing_currency, told.billing_currency) as billing_currency,
        stated.billed_cost as stated_cost,
        told.billed_cost as told_cost,
        staged.other_costs as staged_costs,
        told.other_costs as told_costs,
        staged.line_count as staged_lines,
        told.line_count as told_lines
    from stated
    full outer join staged
        on
            stated.source = staged.source
            and stated.account = staged.account
            and stated.usage_date = staged.usage_date
            and stated.billing_currency = staged.billing_currency
    full outer join told
        on
            coalesce(stated.source, staged.source) = told.source
            and coalesce(stated.account, staged.account) = told.account
            and coalesce(stated.usage_date, staged.usage_date) = told.usage_date
            and coalesce(stated.billing_currency, staged.billing_currency) = told.billing_currency
)

select
    usage_date,
    'cloud_money_is_conserved' as law,
    'account:' || account as scope,
    concat(
        source, ' ', usage_date, ': the files say ', coalesce(cast(stated_cost as varchar), 'nothing'), ' ',
        billing_currency, ' billed, fct_cloud_charges_daily holds ', coalesce(cast(told_cost as varchar), 'nothing'),
        '; lines ', coalesce(staged_lines, 0), ' and ', coalesce(told_lines, 0), '; effective, list, contracted ',
        coalesce(staged_costs, 'nothing'), ' and ', coalesce(told_costs, 'nothing'), '.'
    ) as detail
from compared
where
    stated_cost is distinct from told_cost
    or staged_lines is distinct from told_lines
    or staged_costs is distinct from told_costs
