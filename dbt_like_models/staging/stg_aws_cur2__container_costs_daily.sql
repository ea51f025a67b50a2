-- One row per usage_date, source, account, sub_account_id, resource_id, part, container_id, cluster, namespace,
-- workload_type, workload, tags, billing_currency.
-- AWS's split cost allocation data: what each server cost, by the pods of EKS and the tasks of ECS that ran on it. A
-- line of a container says which part of its server's cost it used and which unused part is laid on it (AWS, CUR 2.0
-- table dictionary, split line item columns, read 2026-11-30). `part` is `container` for those. Of what they leave of
-- the server's own cost, `rounding` is of the hours that the view has, and `outside_view` is of those in which it
-- names no container; `unbilled` is of hours in which no line bills the server, whose own cost is unknown then. All
-- parts of a server add up to what its lines cost. An export by the day has no hours: what its day costs beyond its
-- containers is outside the view. Nothing of this is charged: it is the servers' cost again.
-- Cluster, namespace and workload are AWS's own tags, which CUR 2.0 spells aws_eks_namespace and the legacy report
-- aws:eks:namespace.
-- partition: month
with
lines as not materialized (
    select
        usage_date,
        source,
        account,
        line_item_usage_account_id as sub_account_id,
        line_item_line_item_type,
        line_item_resource_id,
        line_item_usage_type,
        line_item_usage_start_date as start_at,
        line_item_usage_end_date as end_at,
        line_item_currency_code as billing_currency,
        line_item_unblended_cost,
        savings_plan_savings_plan_effective_cost,
        reservation_effective_cost,
        split_line_item_parent_resource_id as server_id,
        split_line_item_split_cost as split_cost,
        split_line_item_unused_cost as unused_cost,
        resource_tags
    from landed_aws_cur2__lines
),

-- What is no JSON object is no tag, in whichever order a query looks at its conditions.
container_lines as not materialized (
    select
        *,
        split_cost + unused_cost as effective_cost,
        case
            when json_valid(resource_tags) then case when json_type(resource_tags) = 'OBJECT' then resource_tags end
        end as tags
    from lines
    where server_id is not null
),

containers as (
    select
        usage_date,
        source,
        account,
        sub_account_id,
        server_id as resource_id,
        'container' as part,
        line_item_resource_id as container_id,
        nullif(
            coalesce(
                json_extract_string(tags, '$."aws_eks_cluster_name"'),
                json_extract_string(tags, '$."aws:eks:cluster-name"'),
                json_extract_string(tags, '$."aws_ecs_cluster_name"'),
                json_extract_string(tags, '$."aws:ecs:clusterName"')
            ),
            ''
        ) as cluster,
        nullif(
            coalesce(
                json_extract_string(tags, '$."aws_eks_namespace"'), json_extract_string(tags, '$."aws:eks:namespace"')
            ),
            ''
        ) as namespace,
        nullif(
            coalesce(
                json_extract_string(tags, '$."aws_eks_workload_type"'),
                json_extract_string(tags, '$."aws:eks:workload-type"')
            ),
            ''
        ) as workload_type,
        nullif(
            coalesce(
                json_extract_string(tags, '$."aws_eks_workload_name"'),
                json_extract_string(tags, '$."aws:eks:workload-name"'),
                json_extract_string(tags, '$."aws_ecs_service_name"'),
                json_extract_string(tags, '$."aws:ecs:serviceName"')
            ),
            ''
        ) as workload,
        tags,
        billing_currency,
        case when count(*) = count(split_cost) then sum(split_cost) end as split_cost,
        case when count(*) = count(unused_cost) then sum(unused_cost) end as unused_cost,
        case when count(*) = count(effective_cost) then sum(effective_cost) end as effective_cost,
        count(*) as line_count
    from container_lines
    group by all
),

viewed_moments as (
    select
        usage_date,
        source,
        account,
        server_id as resource_id,
        billing_currency,
        start_at,
        min(sub_account_id) as sub_account_id,
        case when count(*) = count(effective_cost) then sum(effective_cost) end as viewed_cost,
        count(*) as line_count
    from container_lines
    group by all
),

servers as (
    select distinct
        source,
        account,
        resource_id
    from viewed_moments
),

-- A server's own lines, without its disks' and its network's, at the effective cost that the daily charges have.
server_lines as (
    select
        lines.usage_date,
        lines.source,
        lines.account,
        lines.sub_account_id,
        lines.line_item_resource_id as resource_id,
        lines.billing_currency,
        lines.start_at,
        lines.end_at is null or lines.end_at > lines.start_at + interval 1 hour as is_longer_than_an_hour,
        case lines.line_item_line_item_type
            when 'SavingsPlanCoveredUsage' then lines.savings_plan_savings_plan_effective_cost
            when 'DiscountedUsage' then lines.reservation_effective_cost
            else lines.line_item_unblended_cost
        end as effective_cost
    from lines
    inner join servers
        on
            lines.source = servers.source
            and lines.account = servers.account
            and lines.line_item_resource_id = servers.resource_id
    where
        lines.server_id is null
        and lines.line_item_line_item_type in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
        and regexp_matches(lines.line_item_usage_type, '(Box|Spot|Dedicated|Host)Usage|Unused(Box|Ded)|Res(ervation)?:')
),

server_moments as (
    select
        usage_date,
        source,
        account,
        resource_id,
        billing_currency,
        start_at,
        min(sub_account_id) as sub_account_id,
        bool_or(is_longer_than_an_hour) as is_longer_than_an_hour,
        case when count(*) = count(effective_cost) then sum(effective_cost) end as own_cost,
        count(*) as line_count
    from server_lines
    group by all
),

compared as (
    select
        coalesce(server_moments.usage_date, viewed_moments.usage_date) as usage_date,
        coalesce(server_moments.source, viewed_moments.source) as source,
        coalesce(server_moments.account, viewed_moments.account) as account,
        coalesce(server_moments.resource_id, viewed_moments.resource_id) as resource_id,
        coalesce(server_moments.billing_currency, viewed_moments.billing_currency) as billing_currency,
        coalesce(server_moments.sub_account_id, viewed_moments.sub_account_id) as sub_account_id,
        server_moments.resource_id is not null as is_billed,
        viewed_moments.resource_id is not null as is_viewed,
        server_moments.is_longer_than_an_hour,
        server_moments.own_cost,
        viewed_moments.viewed_cost,
        coalesce(server_moments.line_count, 0) + coalesce(viewed_moments.line_count, 0) as line_count
    from server_moments
    full outer join viewed_moments
        on
            server_moments.usage_date = viewed_moments.usage_date
            and server_moments.source = viewed_moments.source
            and server_moments.account = viewed_moments.account
            and server_moments.resource_id = viewed_moments.resource_id
            and server_moments.billing_currency = viewed_moments.billing_currency
            and server_moments.start_at = viewed_moments.start_at
),

left_over as (
    select
        *,
        case
            when not is_billed then 'unbilled'
            when not is_viewed or (is_longer_than_an_hour and own_cost > viewed_cost) then 'outside_view'
            else 'rounding'
        end as part,
        case when is_viewed then own_cost - viewed_cost else own_cost end as left_cost
    from compared
),

remainders as (
    select
        usage_date,
        source,
        account,
        min(sub_account_id) as sub_account_id,
        resource_id,
        part,
        cast(null as varchar) as container_id,
        cast(null as varchar) as cluster,
        cast(null as varchar) as namespace,
        cast(null as varchar) as workload_type,
        cast(null as varchar) as workload,
        cast(null as varchar) as tags,
        billing_currency,
        cast(null as decimal(38, 18)) as split_cost,
        cast(null as decimal(38, 18)) as unused_cost,
        case when count(*) = count(left_cost) then sum(left_cost) end as effective_cost,
        sum(line_count) as line_count
    from left_over
    group by usage_date, source, account, resource_id, part, billing_currency
),

united as (
    select * from containers
    union all by name
    select * from remainders
),

final as (
    select
        usage_date,
        source,
        account,
        sub_account_id,
        resource_id,
        part,
        container_id,
        cluster,
        namespace,
        workload_type,
        workload,
        tags,
        billing_currency,
        cast(split_cost as decimal(38, 18)) as split_cost,
        cast(unused_cost as decimal(38, 18)) as unused_cost,
        cast(effective_cost as decimal(38, 18)) as effective_cost,
        cast(line_count as bigint) as line_count
    from united
)

select * from final
