-- A billing month's charges in FOCUS's columns, one row per charge and day; what is charged for a GPU resource is split
-- by the GPU time that each deployment had of it in each state that day. BilledCost adds up to what the month's bills
-- charge; of owned GPUs nothing is billed, and their cost is effective.
with
cloud as (
    select
        'cloud' as row_kind,
        usage_date,
        usage_date + 1 as to_date,
        source,
        account,
        issuer,
        coalesce(invoice_issuer, issuer) as invoice_issuer,
        coalesce(service_provider, issuer) as provider,
        coalesce(billing_account_id, account) as billing_account_id,
        sub_account_id,
        invoice_id,
        cast(date_trunc('month', billing_period_start_date + 1) as date) as billing_month_date,
        charge_category,
        charge_class,
        concat_ws(', ', service, sku_meter) as charge_description,
        case when charge_category = 'Usage' then 'Usage-Based' else 'One-Time' end as charge_frequency,
        pricing_category,
        commitment_discount_id,
        commitment_discount_status,
        case when bool_or(is_gpu_resource) over of_service then 'Compute' else 'Other' end as service_category,
        case when bool_or(is_gpu_resource) over of_service then 'Virtual Machines' else 'Other (Other)' end
            as service_subcategory,
        coalesce(service, issuer) as service_name,
        region_id,
        resource_id,
        sku as sku_id,
        sku_meter,
        billing_currency,
        billed_cost,
        effective_cost,
        list_cost,
        contracted_cost,
        consumed_quantity,
        consumed_unit,
        pricing_quantity,
        pricing_unit
    from fct_cloud_charges_daily
    where
        is_book
        and billing_period_start_date + 1 >= $from_date
        and billing_period_start_date + 1 < $to_date
    window of_service as (partition by coalesce(service, issuer))
),

api as (
    select
        'api' as row_kind,
        usage_date,
        usage_date + 1 as to_date,
        source,
        account,
        issuer,
        issuer as invoice_issuer,
        provider,
        account as billing_account_id,
        sub_account_id,
        cast(date_trunc('month', usage_date) as date) as billing_month_date,
        case when charge_kind = 'credit' then 'Credit' else 'Usage' end as charge_category,
        concat_ws(', ', charge_kind, model, token_class, service_tier) as charge_description,
        'Usage-Based' as charge_frequency,
        'Standard' as pricing_category,
        'AI and Machine Learning' as service_category,
        'Generative AI' as service_subcategory,
        provider as service_name,
        inference_geo as region_id,
        concat_ws('/', model, token_class, service_tier, context_window) as sku_id,
        coalesce(token_class, charge_kind) as sku_meter,
        billing_currency,
        billed_cost,
        case when billing_currency = $reporting_currency then list_cost_rc end as list_cost,
        cast(tokens as decimal(38, 18)) as consumed_quantity,
        case when tokens is not null then 'Tokens' end as consumed_unit,
        workload,
        team,
        model,
        token_class,
        api_key_id,
        attribution
    from fct_api_costs_daily
    where usage_date >= $from_date and usage_date < $to_date and billed_cost is not null
),

invoice_lines as (
    select
        *,
        cast(date_trunc('month', period_start_at + interval 13 hour) as date) as billing_month_date
    from int_gpu_bill_lines
    where is_book
),

booked as (
    select
        source,
        account,
        invoice_id,
        line_number,
        sum(realized_cost) as booked_cost,
        max(usage_date) + 1 as booked_to_date
    from int_gpu_charges_daily
    where line_number is not null
    group by source, account, invoice_id, line_number
),

-- What a line bills for days that are still to come stands in one row.
line_days as (
    select
        int_gpu_charges_daily.usage_date,
        int_gpu_charges_daily.usage_date + 1 as to_date,
        int_gpu_charges_daily.source,
        int_gpu_charges_daily.issuer,
        int_gpu_charges_daily.account,
        int_gpu_charges_daily.invoice_id,
        int_gpu_charges_daily.line_number,
        int_gpu_charges_daily.realized_cost
    from int_gpu_charges_daily
    where int_gpu_charges_daily.line_number is not null
    union all
    select
        coalesce(booked.booked_to_date, invoice_lines.usage_date) as usage_date,
        cast(invoice_lines.period_end_at as date) as to_date,
        invoice_lines.source,
        invoice_lines.issuer,
        invoice_lines.account,
        invoice_lines.invoice_id,
        invoice_lines.line_number,
        invoice_lines.billed_cost - coalesce(booked.booked_cost, 0) as realized_cost
    from invoice_lines
    left join booked
        on
            invoice_lines.source = booked.source
            and invoice_lines.account = booked.account
            and invoice_lines.invoice_id = booked.invoice_id
            and invoice_lines.line_number = booked.line_number
    where invoice_lines.billed_cost != coalesce(booked.booked_cost, 0)
),

invoiced as (
    select
        'invoice' as row_kind,
        line_days.usage_date,
        line_days.to_date,
        line_days.source,
        line_days.account,
        line_days.issuer,
        line_days.issuer as invoice_issuer,
        line_days.issuer as provider,
        line_days.account as billing_account_id,
        line_days.invoice_id,
        invoice_lines.billing_month_date,
        case invoice_lines.charge_kind
            when 'tax' then 'Tax' when 'credit' then 'Credit' when 'discount' then 'Adjustment' else 'Usage'
        end as charge_category,
        coalesce(invoice_lines.charge_description, invoice_lines.charge_kind) as charge_description,
        case when invoice_lines.charge_kind in ('tax', 'credit', 'discount') then 'One-Time' else 'Usage-Based' end
            as charge_frequency,
        case when invoice_lines.charge_kind not in ('tax', 'credit', 'discount') then 'Standard' end
            as pricing_category,
        case invoice_lines.charge_kind
            when 'gpu_instance' then 'Compute' when 'storage' then 'Storage' when 'network' then 'Networking'
            when 'support' then 'Management and Governance' else 'Other'
        end as service_category,
        case invoice_lines.charge_kind
            when 'gpu_instance' then 'Virtual Machines' when 'storage' then 'Other (Storage)'
            when 'network' then 'Other (Networking)' when 'support' then 'Support' else 'Other (Other)'
        end as service_subcategory,
        invoice_lines.charge_kind as service_name,
        invoice_lines.resource_id,
        invoice_lines.billing_currency,
        line_days.realized_cost as billed_cost
    from line_days
    inner join invoice_lines
        on
            line_days.source = invoice_lines.source
            and line_days.account = invoice_lines.account
            and line_days.invoice_id = invoice_lines.invoice_id
            and line_days.line_number = invoice_lines.line_number
),

owned as (
    select
        'owned' as row_kind,
        usage_date,
        usage_date + 1 as to_date,
        source,
        account,
        issuer,
        issuer as invoice_issuer,
        issuer as provider,
        account as billing_account_id,
        cast(date_trunc('month', usage_date) as date) as billing_month_date,
        'Usage' as charge_category,
        charge_kind as charge_description,
        'Usage-Based' as charge_frequency,
        'Other' as pricing_category,
        'Compute' as service_category,
        'Virtual Machines' as service_subcategory,
        'owned GPUs: ' || charge_kind as service_name,
        resource_id,
        billing_currency,
        cast(0 as decimal(38, 18)) as billed_cost,
        realized_cost as effective_cost,
        realized_cost as list_cost,
        realized_cost as contracted_cost
    from int_gpu_charges_daily
    where source = 'owned_gpus' and usage_date >= $from_date and usage_date < $to_date
),

origins as (
    select
        *,
        row_number() over (
            order by
                row_kind, usage_date, source, account, invoice_id, resource_id, sku_id, charge_description, billed_cost,
                effective_cost, to_date, issuer, invoice_issuer, provider, billing_account_id, sub_account_id,
                billing_month_date, charge_category, charge_class, pricing_category, commitment_discount_id,
                commitment_discount_status, service_name, region_id, sku_meter, billing_currency, list_cost,
                contracted_cost, consumed_quantity, consumed_unit, pricing_quantity, pricing_unit, workload, team,
                model, token_class, api_key_id, attribution
        ) as origin_number
    from (
        select * from cloud
        union all by name
        select * from api
        union all by name
        select * from invoiced
        union all by name
        select * from owned
    ) as united
    where billing_month_date >= $from_date and billing_month_date < $to_date
),

gpu_times as (
    select
        usage_date,
        issuer,
        resource_id,
        deployment_id,
        state,
        cast(sum(gpu_milliseconds) as bigint) as gpu_ms
    from int_gpu_states_daily
    group by all
    having sum(gpu_milliseconds) > 0
),

-- FOCUS wants all four costs: where an export leaves one out it is the nearest that is known, and x_CostBasis says so.
filled as (
    select
        origins.* replace (
            coalesce(effective_cost, billed_cost) as effective_cost,
            coalesce(contracted_cost, list_cost, billed_cost) as contracted_cost,
            coalesce(list_cost, contracted_cost, billed_cost) as list_cost
        ),
        concat_ws(
            ', ',
            case when effective_cost is null then 'effective from billed' end,
            case
                when list_cost is null and contracted_cost is null then 'list and contracted from billed'
                when list_cost is null then 'list from contracted'
                when contracted_cost is null then 'contracted from list'
            end
        ) as cost_basis
    from origins
),

parts as (
    select
        filled.*,
        gpu_times.deployment_id,
        gpu_times.state,
        gpu_times.gpu_ms,
        sum(gpu_times.gpu_ms) over (partition by filled.origin_number) as whole_ms,
        row_number() over (
            partition by filled.origin_number order by gpu_times.deployment_id nulls last, gpu_times.state
        ) as part_number,
        cast(1 as decimal(38, 18)) as allocated_ratio
    from filled
    left join gpu_times
        on
            filled.row_kind != 'api'
            and filled.to_date = filled.usage_date + 1
            and filled.usage_date = gpu_times.usage_date
            and filled.issuer = gpu_times.issuer
            and filled.resource_id = gpu_times.resource_id
),

amounts as (
    unpivot (
        select
            origin_number,
            part_number,
            gpu_ms,
            whole_ms,
            billed_cost,
            effective_cost,
            list_cost,
            contracted_cost,
            consumed_quantity,
            pricing_quantity,
            allocated_ratio
        from parts
        where whole_ms is not null
    )
    on billed_cost, effective_cost, list_cost, contracted_cost, consumed_quantity, pricing_quantity, allocated_ratio
    into name amount_name value amount
),

-- A decimal has always 18 digits after its point: without it, it counts quanta of 10^-18. Split by largest remainder.
quanta as (
    select
        *,
        cast(replace(cast(abs(amount) as varchar), '.', '') as hugeint) as quanta
    from amounts
),

floored as (
    select
        *,
        quanta // whole_ms * gpu_ms + quanta % whole_ms * gpu_ms // whole_ms as floor_quanta,
        quanta % whole_ms * gpu_ms % whole_ms as remainder
    from quanta
),

split as (
    select
        origin_number,
        part_number,
        amount_name,
        case when amount < 0 then -1 else 1 end
        * cast(
            floor_quanta + case
                when
                    row_number() over (
                        partition by origin_number, amount_name order by remainder desc, part_number asc
                    ) <= quanta - sum(floor_quanta) over (partition by origin_number, amount_name)
                    then 1
                else 0
            end as decimal(38, 0)
        )
        * cast('0.000000000000000001' as decimal(19, 18)) as amount
    from floored
),

split_amounts as (
    select
        origin_number,
        part_number,
        max(amount) filter (where amount_name = 'billed_cost') as billed_cost,
        max(amount) filter (where amount_name = 'effective_cost') as effective_cost,
        max(amount) filter (where amount_name = 'list_cost') as list_cost,
        max(amount) filter (where amount_name = 'contracted_cost') as contracted_cost,
        max(amount) filter (where amount_name = 'consumed_quantity') as consumed_quantity,
        max(amount) filter (where amount_name = 'pricing_quantity') as pricing_quantity,
        max(amount) filter (where amount_name = 'allocated_ratio') as allocated_ratio
    from split
    group by origin_number, part_number
),

final as (
    select
        parts.* replace (
            coalesce(split_amounts.billed_cost, parts.billed_cost) as billed_cost,
            coalesce(split_amounts.effective_cost, parts.effective_cost) as effective_cost,
            coalesce(split_amounts.list_cost, parts.list_cost) as list_cost,
            coalesce(split_amounts.contracted_cost, parts.contracted_cost) as contracted_cost,
            coalesce(split_amounts.consumed_quantity, parts.consumed_quantity) as consumed_quantity,
            coalesce(split_amounts.pricing_quantity, parts.pricing_quantity) as pricing_quantity,
            split_amounts.allocated_ratio as allocated_ratio
        )
    from parts
    left join split_amounts
        on parts.origin_number = split_amounts.origin_number and parts.part_number = split_amounts.part_number
)

select * from final
order by origin_number, part_number
