-- One row per usage_date, source, account, charge_id.
-- Which charges of cloud bills are GPU time, how much, and of which instance: all charges of resources that are
-- declared under gpu_resources, and beside them what is GPU time by what it meters, declared or not. A declared number
-- of GPUs goes before the one that `gpu_instance_types` has for the instance's type. Books of record only.
-- partition: month
with
charges as (
    select
        *,
        source = 'gcp_billing_export' or starts_with(lower(service_provider), 'google') as is_of_google,
        regexp_full_match(lower(consumed_unit), '([1-9][0-9]{0,3} )?(h|hrs?|hours?)') as is_hourly,
        -- Microsoft meters software by the cores it runs on: "4 vCPU VM License", "5+ vCPU VM Support", "7 vCPU VM".
        -- What others sell on its marketplace by the hour is software too.
        coalesce(service = 'Virtual Machines Licenses', false)
        or (source = 'azure_cost_details' and not starts_with(service_provider, 'Microsoft'))
        or (sku_meter is not null and regexp_matches(lower(sku_meter), '\blicen[cs]e|\bvcpu vm\b')) as is_licence,
        -- AWS meters an instance as what runs and its type, Microsoft by the type without Standard_ and underscores,
        -- but where the type leaves its A100 out ("ND96asr A100 v4").
        case
            when service_provider = 'AWS'
                then regexp_extract(sku_meter, '(?:Usage|UnusedBox|UnusedDed|Res|Reservation):([a-z0-9.-]+)$', 1)
            when starts_with(service_provider, 'Microsoft')
                then replace(regexp_replace(lower(sku_meter), ' (spot|low priority)$', ''), ' a100 ', ' ')
        end as metered_type
    from int_cloud_charges_daily
    where is_book and resource_id is not null
),

instance_types as (
    select
        instance_type,
        gpu_count,
        gpu_type,
        case cloud
            when 'azure'
                then replace(lower(replace(replace(instance_type, 'Standard_', ''), '_', ' ')), ' a100 ', ' ')
            else instance_type
        end as metered_type
    from gpu_instance_types
),

declared_counts as (
    select
        charges.usage_date,
        charges.issuer,
        charges.resource_id,
        max(gpu_resources.gpu_count) as gpu_count
    from charges
    inner join config_gpu_resources as gpu_resources
        on
            charges.issuer = gpu_resources.issuer
            and charges.resource_id = gpu_resources.resource_id
            and charges.usage_date >= coalesce(gpu_resources.valid_from_date, charges.usage_date)
            and charges.usage_date < coalesce(gpu_resources.valid_to_date, charges.usage_date + 1)
    where charges.is_gpu_resource
    group by charges.usage_date, charges.issuer, charges.resource_id
),

-- What a commitment covers is billed as 0: its cost is the commitment's, amortised.
lines as (
    select
        charges.*,
        declared_counts.resource_id is not null as is_declared,
        declared_counts.gpu_count as declared_gpu_count,
        instance_types.instance_type,
        instance_types.gpu_type,
        instance_types.gpu_count as type_gpu_count,
        case when charges.pricing_category = 'Committed' then 'effective' else 'billed' end as cost_measure,
        case
            when charges.pricing_category = 'Committed' then charges.effective_cost
            else charges.billed_cost
        end as realized_cost,
        -- AWS meters options of an instance (EBSOptimized) and what others sell for it (SoftwareUsage) under it too:
        -- only these are its own hours. In FOCUS's columns a meter may be spelled in other words, or not be said.
        charges.is_hourly
        and not charges.is_licence
        and case
            when charges.source in ('aws_cur', 'aws_cur2')
                then regexp_matches(charges.sku_meter, '(Box|Spot|Dedicated|Host)Usage|Unused(Box|Ded)|Res(ervation)?:')
            else charges.sku_meter is null or not regexp_matches(charges.sku_meter, 'EBSOptimized|SoftwareUsage')
        end as is_in_hours,
        -- An old agreement of Microsoft's counts tens or hundreds of them ("100 Hours").
        coalesce(try_cast(regexp_extract(charges.consumed_unit, '^([0-9]{1,4}) ', 1) as bigint), 1) as hours_per_unit,
        -- Time of each GPU: eight hours an hour of a server with eight. Google bills a server as its GPUs, cores and
        -- memory, each in seconds: all of them pay for its time, and its GPUs say how long it was. Its newest are named
        -- "A4 Nvidia B200 (1 gpu slice) running in Americas" and "RTX 6000 96GB running in Belgium". A fee for a
        -- licence, or for managing them, is no time of theirs.
        case
            when regexp_full_match(lower(charges.consumed_unit), 'gpu[ -](per )?hours?') then 3600000
            when
                charges.is_of_google
                and lower(charges.consumed_unit) = 'seconds'
                and regexp_matches(lower(charges.sku_meter), '\bgpus?\b|\brtx [0-9]+ [0-9]+gb\b')
                and not regexp_matches(lower(charges.sku_meter), '\b(licen[cs]ing|management) fee\b')
                then 1000
        end as gpu_ms_per_unit,
        -- So does what its software costs by the hour. What is given back of either pays for no time.
        charges.charge_category = 'Usage'
        and coalesce(
            (
                charges.is_of_google
                and lower(charges.consumed_unit) in ('seconds', 'byte-seconds')
                and charges.service = 'Compute Engine'
            )
            or (charges.is_hourly and charges.is_licence),
            false
        ) as is_part_of_server
    from charges
    left join declared_counts
        on
            charges.usage_date = declared_counts.usage_date
            and charges.issuer = declared_counts.issuer
            and charges.resource_id = declared_counts.resource_id
    left join instance_types
        on charges.metered_type = instance_types.metered_type
),

kinds as (
    select
        *,
        case when is_declared then declared_gpu_count else type_gpu_count end as gpu_count,
        case
            when charge_category = 'Usage' and (is_in_hours or gpu_ms_per_unit is not null or is_part_of_server)
                then 'gpu_instance'
            when charge_category = 'Tax' then 'tax'
            when charge_category = 'Credit' then 'credit'
            when charge_category = 'Adjustment' then 'discount'
            else 'other'
        end as charge_kind
    from lines
    where
        is_declared
        or (
            charge_category = 'Usage' and (gpu_ms_per_unit is not null or (is_in_hours and instance_type is not null))
        )
),

final as (
    select
        usage_date,
        source,
        account,
        cast(
            to_json([
                resource_id, charge_category, charge_class, sku, sku_meter, consumed_unit, cost_measure,
                billing_currency, invoice_id
            ]) as varchar
        ) as charge_id,
        issuer,
        invoice_id,
        resource_id,
        sku_meter,
        charge_kind,
        is_declared,
        max(instance_type) as instance_type,
        max(gpu_type) as gpu_type,
        cast(max(type_gpu_count) as bigint) as type_gpu_count,
        cast(gpu_count as bigint) as gpu_count,
        is_part_of_server,
        cost_measure,
        billing_currency,
        -- Only what costs something, known or not, is hours: an option of an instance is metered in hours of it as
        -- well, at no charge. A quantity that is no resource's time (a thousand years in hours) leaves it unknown.
        cast(sum(
            case
                when abs(consumed_quantity) >= case when is_in_hours then 10000000 // hours_per_unit else 1000000000 end
                    then null
                when charge_kind != 'gpu_instance' or realized_cost <= 0 then null
                when gpu_ms_per_unit is not null
                    then cast(round(consumed_quantity * gpu_ms_per_unit) as bigint)
                when is_in_hours
                    then cast(round(consumed_quantity * (3600000 * hours_per_unit)) as bigint) * gpu_count
            end
        ) as bigint) as gpu_milliseconds,
        cast(
            case when count(realized_cost) = count(*) then sum(realized_cost) end as decimal(38, 18)
        ) as realized_cost
    from kinds
    group by
        usage_date, source, account, issuer, invoice_id, resource_id, charge_category, charge_class, sku, sku_meter,
        consumed_unit, charge_kind, is_declared, gpu_count, is_part_of_server, cost_measure, billing_currency
)

select * from final
