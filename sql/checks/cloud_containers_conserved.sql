-- law: cloud_containers_sum_to_their_servers
-- scope: server
-- partition: month
-- What AWS's split view says of a server, with what it leaves over, is what the bill's lines of that server cost, to
-- the last quantum; and in the hours that the view has, it leaves no more than AWS's own rounding: an amount is written
-- with ten decimals, so that a line is up to 10^-10 off (two amounts of a container's, each by half of that). A server
-- of which a container's line does not say both its parts is compared with nothing. It is of the view alone: no charge
-- and no sum depends on it.
with
told as (
    select
        usage_date,
        source,
        account,
        resource_id,
        billing_currency,
        case when count(*) = count(effective_cost) then sum(effective_cost) end as effective_cost,
        count(*) filter (
            where part = 'unbilled' or (part = 'container' and (split_cost is null or unused_cost is null))
        ) as unknown_count
    from fct_container_costs_daily
    group by usage_date, source, account, resource_id, billing_currency
),

charged as (
    select
        usage_date,
        source,
        account,
        resource_id,
        billing_currency,
        case when count(*) = count(effective_cost) then sum(effective_cost) end as effective_cost
    from stg_aws_cur2__charges_daily
    where
        charge_category = 'Usage'
        and commitment_discount_status is distinct from 'Unused'
        and regexp_matches(sku_meter, '(Box|Spot|Dedicated|Host)Usage|Unused(Box|Ded)|Res(ervation)?:')
    group by usage_date, source, account, resource_id, billing_currency
),

summed as (
    select
        told.usage_date,
        told.resource_id,
        concat(
            told.usage_date, ': the lines of ', told.resource_id, ' cost ',
            coalesce(cast(charged.effective_cost as varchar), 'nothing known'), ' ', told.billing_currency,
            ', its containers and what they leave ',
            coalesce(cast(told.effective_cost as varchar), 'nothing known'), '.'
        ) as detail
    from told
    left join charged
        on
            told.usage_date = charged.usage_date
            and told.source = charged.source
            and told.account = charged.account
            and told.resource_id = charged.resource_id
            and told.billing_currency = charged.billing_currency
    where told.unknown_count = 0 and told.effective_cost is distinct from charged.effective_cost
),

rounded as (
    select
        usage_date,
        resource_id,
        concat(
            usage_date, ': in hours that AWS splits, the containers of ', resource_id, ' leave ', effective_cost, ' ',
            billing_currency, ' of its cost; rounding of ', line_count, ' lines explains ',
            line_count * cast('0.0000000001' as decimal(11, 10)), '.'
        ) as detail
    from fct_container_costs_daily
    where part = 'rounding' and abs(effective_cost) > line_count * cast('0.0000000001' as decimal(11, 10))
)

select
    usage_date,
    'cloud_containers_sum_to_their_servers' as law,
    'server:' || resource_id as scope,
    detail
from summed
union all
select
    usage_date,
    'cloud_containers_sum_to_their_servers' as law,
    'server:' || resource_id as scope,
    detail
from rounded
