-- One row per usage_date, account, agent_start_id, model_name, engine_rank, sequence_number.
-- Every scrape of an engine that a Prometheus kept. Its host and GPUs are those that dcgm-exporter names for its pod,
-- of a GPU that is cut by MIG the part that its slices are (0, where their size is unknown: then it claims none of it);
-- without one, its host is its node as a label or kube-state-metrics has it, else its own address, and of each GPU of
-- its node it has the part that its pod's request is of all of them: which of them it holds, nobody says. However often
-- an engine is scraped, and by how many, its host, target and process are the same: all its readings are one series.
-- partition: day
with
-- An address of IPv6 has colons before that of its port.
engine_samples as (
    select
        *,
        regexp_replace(instance, ':[0-9]+$', '') as address,
        nullif(regexp_extract(instance, ':([0-9]+)$', 1), '') as port
    from landed_prometheus__engine_samples
),

gpu_pods as (
    select
        usage_date,
        cluster,
        namespace,
        pod,
        gpu_uuid,
        gpu_instance_id,
        slice_ppm,
        first_at,
        last_at,
        coalesce(node, hostname, regexp_replace(instance, ':[0-9]+$', '')) as host
    from landed_prometheus__gpu_pods
),

gpu_samples as (
    select distinct
        usage_date,
        cluster,
        gpu_uuid,
        regexp_replace(instance, ':[0-9]+$', '') as exporter_address,
        coalesce(node, hostname, regexp_replace(instance, ':[0-9]+$', '')) as host
    from landed_prometheus__gpu_samples
),

-- Each pod by its UID, from when it was made until the next of its name was. Where several of a name were there that
-- day, one that nobody says the time of is left out.
pod_lives as (
    select
        usage_date,
        cluster,
        namespace,
        pod,
        uid,
        max(created_at) as created_at,
        count(*) over same_name as same_name_count,
        lead(max(created_at)) over (same_name order by max(created_at) nulls last, uid) as next_created_at
    from landed_prometheus__pods
    where uid is not null
    group by usage_date, cluster, namespace, pod, uid
    window same_name as (partition by usage_date, cluster, namespace, pod)
),

-- What a ReplicaSet's pods belong to is its Deployment, whose name it has with a hash after it.
owned_pods as (
    select
        *,
        case
            when created_by_kind = 'ReplicaSet' then regexp_replace(created_by_name, '-[a-z0-9]{5,10}$', '')
            else created_by_name
        end as owner
    from landed_prometheus__pods
),

-- A pod that was made anew on another node within the day, under its old name, is on neither.
pod_nodes as (
    select
        usage_date,
        cluster,
        namespace,
        pod,
        case when count(distinct node) = 1 then min(node) end as node,
        case when count(distinct owner) = 1 then min(owner) end as owner,
        case when count(distinct requested_gpus_ppm) = 1 then min(requested_gpus_ppm) end as requested_gpus_ppm
    from owned_pods
    group by usage_date, cluster, namespace, pod
),

node_gpus as (
    select
        usage_date,
        cluster,
        host,
        count(distinct gpu_uuid) as gpu_count,
        '[' || string_agg(distinct to_json(gpu_uuid), ',' order by to_json(gpu_uuid)) || ']' as gpu_uuids_json
    from gpu_samples
    group by usage_date, cluster, host
),

-- Engines of one pod, each at its port, share what it asked for, and the slice that it holds.
pod_engines as (
    select
        usage_date,
        cluster,
        namespace,
        pod,
        count(distinct coalesce(port, '')) as engine_count
    from engine_samples
    where pod is not null
    group by usage_date, cluster, namespace, pod
),

pod_instances as (
    select
        usage_date,
        cluster,
        namespace,
        pod,
        gpu_uuid,
        gpu_instance_id,
        case when count(*) = count(slice_ppm) then max(slice_ppm) end as slice_ppm,
        min(first_at) as first_at,
        max(last_at) as last_at
    from gpu_pods
    where gpu_instance_id is not null
    group by usage_date, cluster, namespace, pod, gpu_uuid, gpu_instance_id
),

-- Slices that a pod held at one time are had together; of slices one after the other, the largest.
pod_slices as (
    select
        usage_date,
        cluster,
        namespace,
        pod,
        gpu_uuid,
        case
            when count(*) > count(slice_ppm) then null
            when max(first_at) <= min(last_at) then least(sum(slice_ppm), 1000000)
            else max(slice_ppm)
        end as slice_ppm
    from pod_instances
    group by usage_date, cluster, namespace, pod, gpu_uuid
),

-- Pods that share a GPU name the same one, and one pod may hold several. What dcgm-exporter prints of a GPU as a whole
-- beside a pod's slice of it makes the pod no holder of the whole.
pod_gpus as (
    select
        gpu_pods.usage_date,
        gpu_pods.cluster,
        gpu_pods.namespace,
        gpu_pods.pod,
        gpu_pods.gpu_uuid,
        min(gpu_pods.host) as first_host,
        max(gpu_pods.host) as last_host,
        bool_or(gpu_pods.gpu_instance_id is not null) as is_sliced,
        max(pod_slices.slice_ppm) as slice_ppm
    from gpu_pods
    left join pod_slices
        on
            gpu_pods.usage_date = pod_slices.usage_date
            and gpu_pods.cluster is not distinct from pod_slices.cluster
            and gpu_pods.namespace is not distinct from pod_slices.namespace
            and gpu_pods.pod = pod_slices.pod
            and gpu_pods.gpu_uuid = pod_slices.gpu_uuid
    group by gpu_pods.usage_date, gpu_pods.cluster, gpu_pods.namespace, gpu_pods.pod, gpu_pods.gpu_uuid
),

pods as (
    select
        pod_gpus.usage_date,
        pod_gpus.cluster,
        pod_gpus.namespace,
        pod_gpus.pod,
        case when min(pod_gpus.first_host) = max(pod_gpus.last_host) then min(pod_gpus.first_host) end as host,
        '[' || string_agg(to_json(pod_gpus.gpu_uuid), ',' order by pod_gpus.gpu_uuid) || ']' as gpu_uuids_json,
        case
            when bool_or(pod_gpus.is_sliced)
                then
                    '[' || string_agg(
                        case
                            when not pod_gpus.is_sliced then 1000000
                            else coalesce(pod_gpus.slice_ppm, 0) // pod_engines.engine_count
                        end,
                        ',' order by pod_gpus.gpu_uuid
                    ) || ']'
        end as gpu_shares_ppm_json
    from pod_gpus
    inner join pod_engines
        on
            pod_gpus.usage_date = pod_engines.usage_date
            and pod_gpus.cluster is not distinct from pod_engines.cluster
            and pod_gpus.namespace is not distinct from pod_engines.namespace
            and pod_gpus.pod = pod_engines.pod
    group by pod_gpus.usage_date, pod_gpus.cluster, pod_gpus.namespace, pod_gpus.pod
),

requests as (
    select
        pod_nodes.usage_date,
        pod_nodes.cluster,
        pod_nodes.namespace,
        pod_nodes.pod,
        pod_nodes.node,
        node_gpus.gpu_uuids_json,
        node_gpus.gpu_count,
        least(
            pod_nodes.requested_gpus_ppm // (node_gpus.gpu_count * pod_engines.engine_count), 1000000
        ) as share_ppm
    from pod_nodes
    inner join pod_engines
        on
            pod_nodes.usage_date = pod_engines.usage_date
            and pod_nodes.cluster is not distinct from pod_engines.cluster
            and pod_nodes.namespace is not distinct from pod_engines.namespace
            and pod_nodes.pod = pod_engines.pod
    inner join node_gpus
        on
            pod_nodes.usage_date = node_gpus.usage_date
            and pod_nodes.cluster is not distinct from node_gpus.cluster
            and pod_nodes.node = node_gpus.host
    where pod_nodes.requested_gpus_ppm is not null
),

-- Outside of Kubernetes an exporter and an engine on one machine are reached under one address.
machines as (
    select
        usage_date,
        cluster,
        exporter_address,
        case when count(distinct host) = 1 then min(host) end as host
    from gpu_samples
    group by usage_date, cluster, exporter_address
),

final as (
    select
        engine_samples.usage_date,
        engine_samples.account,
        coalesce(
            pods.host,
            engine_samples.node,
            pod_nodes.node,
            machines.host,
            engine_samples.address,
            'unknown'
        ) as host,
        cast(null as varchar) as boot_id,
        engine_samples.target_labels as agent_start_id,
        engine_samples.model_name,
        engine_samples.engine as engine_rank,
        epoch_ms(engine_samples.at) as sequence_number,
        engine_samples.at as scraped_at,
        -- A scrape alone in its answer covers no time that anybody knows of.
        coalesce(engine_samples.interval_ms, 0) as interval_milliseconds,
        case
            when engine_samples.pod is null then coalesce(engine_samples.instance, engine_samples.target_labels)
            else
                concat_ws('/', engine_samples.cluster, engine_samples.namespace, engine_samples.pod)
                || coalesce(':' || engine_samples.port, '')
        end as target,
        -- A Prometheus scrapes addresses that name their engine wherever it runs; where that is it may learn later.
        '' as series_host,
        concat_ws(
            '/', engine_samples.cluster, engine_samples.namespace,
            coalesce(engine_samples.pod, engine_samples.instance)
        ) as replica_id,
        coalesce(engine_samples.pod_uid, pod_lives.uid) as pod_uid,
        -- What a series says of its pod's UID says nothing of another pod's age.
        case
            when engine_samples.pod_uid is null or engine_samples.pod_uid = pod_lives.uid then pod_lives.created_at
        end as pod_created_at,
        pod_nodes.owner as pod_owner,
        engine_samples.serving_engine as engine,
        cast(null as varchar) as engine_version,
        engine_samples.process_started_at,
        engine_samples.prompt_tokens as prompt_tokens_since_start,
        engine_samples.prompt_counts,
        engine_samples.prompt_tokens_cached as prompt_cached_tokens_since_start,
        engine_samples.generation_tokens as generation_tokens_since_start,
        engine_samples.requests_success as requests_since_start,
        engine_samples.requests_running as requests_running_count,
        engine_samples.requests_waiting as requests_waiting_count,
        engine_samples.identity_gap_tokens,
        engine_samples.prompt_tokens_transferred as prompt_transferred_tokens_since_start,
        engine_samples.engine_role,
        coalesce(pods.gpu_uuids_json, requests.gpu_uuids_json) as gpu_uuids_json,
        coalesce(
            pods.gpu_shares_ppm_json,
            '[' || rtrim(repeat(requests.share_ppm || ',', requests.gpu_count), ',') || ']'
        ) as gpu_shares_ppm_json,
        cast(null as varchar) as gpu_memory_bytes_json,
        case
            when pods.gpu_uuids_json is not null then 'dcgm_pod'
            when requests.gpu_uuids_json is not null then 'requested'
        end as gpu_method,
        cast(null as varchar) as scrape_error,
        engine_samples.prompt_tokens is not null and engine_samples.generation_tokens is not null as is_valid
    from engine_samples
    left join pods
        on
            engine_samples.usage_date = pods.usage_date
            and engine_samples.cluster is not distinct from pods.cluster
            and engine_samples.namespace is not distinct from pods.namespace
            and engine_samples.pod = pods.pod
    left join pod_lives
        on
            engine_samples.usage_date = pod_lives.usage_date
            and engine_samples.cluster is not distinct from pod_lives.cluster
            and engine_samples.namespace is not distinct from pod_lives.namespace
            and engine_samples.pod = pod_lives.pod
            and (pod_lives.created_at is not null or pod_lives.same_name_count = 1)
            and engine_samples.at >= coalesce(pod_lives.created_at, engine_samples.at)
            and (pod_lives.next_created_at is null or engine_samples.at < pod_lives.next_created_at)
    left join pod_nodes
        on
            engine_samples.usage_date = pod_nodes.usage_date
            and engine_samples.cluster is not distinct from pod_nodes.cluster
            and engine_samples.namespace is not distinct from pod_nodes.namespace
            and engine_samples.pod = pod_nodes.pod
    left join requests
        on
            engine_samples.usage_date = requests.usage_date
            and engine_samples.cluster is not distinct from requests.cluster
            and engine_samples.namespace is not distinct from requests.namespace
            and engine_samples.pod = requests.pod
            and coalesce(engine_samples.node, requests.node) = requests.node
            and pods.gpu_uuids_json is null
    left join machines
        on
            engine_samples.usage_date = machines.usage_date
            and engine_samples.cluster is not distinct from machines.cluster
            and engine_samples.address = machines.exporter_address
)

select * from final
