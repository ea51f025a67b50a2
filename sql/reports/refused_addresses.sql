-- Addresses behind which two engine processes answered in turn: what their counters moved by then is not counted.
select
    addresses.host,
    addresses.target,
    min(addresses.from_at) as from_at,
    max(addresses.to_at) as to_at,
    count(distinct addresses.usage_date) as days_count,
    cast(sum(targets.refused_count) as bigint) as refused_count
from int_engine_shared_addresses_daily as addresses
left join int_engine_targets_daily as targets
    on
        addresses.usage_date = targets.usage_date
        and addresses.host = targets.host
        and addresses.target = targets.target
where addresses.usage_date >= $from_date and addresses.usage_date < $to_date
group by addresses.host, addresses.target
order by refused_count desc nulls last, addresses.host asc, addresses.target asc
