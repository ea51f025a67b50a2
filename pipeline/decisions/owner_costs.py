"""Node `fct_owner_costs_daily`: every charge of a day and who owns it, by the rules of `ownership` that hold that day.

A charge is known by what its bill and its use say: account, workspace or project, key, a gateway's team, resource and
its tags; a GPU's by the deployment too, by the namespace and replica of the engines that held it, and by the workloads
that it served: of a deployment-day each by the tokens it had served, a token of each class weighing what the day's own
split over classes (`fct_unit_costs_daily`) has it cost. The narrowest rule says whose it is (`pipeline.ownership`); a
workload's own `team` is such a rule, and a team that alone has workloads on a deployment has what of it served nobody.
What no rule says has no owner and is a row like any other: the rows add up to the charges, in every currency. Names are
those of the day; `owner_aliases` are for who asks.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from pipeline.decisions.charge_parts import (
    CLASSES,
    CONTAINERS,
    ENGINES,
    STATES,
    TOKENS,
    UNASSIGNED,
    Containers,
    Engines,
    Workloads,
    in_quanta,
    money_of,
)
from pipeline.decisions.cloud_model_costs import IS_HOSTED
from pipeline.decisions.per_use_costs import IS_PER_USE
from pipeline.decisions.window import Row, Rows, valid_on
from pipeline.ownership import ATTRIBUTES, FIELDS, OwnerRule, RuleBook, rule_name

_API, _CLOUD, _GPUS = "fct_api_costs_daily", "fct_cloud_charges_daily", "fct_gpu_costs_daily"
_TAGS = "int_owner_tags_daily"
_DATED = (_API, _CLOUD, _GPUS, TOKENS, CLASSES, ENGINES, STATES, CONTAINERS, _TAGS)
_UNDATED = ("config_ownership", "config_workloads")
INPUTS = (*_UNDATED, *_DATED)
# Of a charge of `fct_cloud_charges_daily`: that it is for AWS's server itself, and not for its disks, its network or a
# commitment that nobody used. It is what AWS's split view splits.
IS_SERVER_USAGE = (
    "charge_category = 'Usage' and commitment_discount_status is distinct from 'Unused' "
    "and regexp_matches(sku_meter, '(Box|Spot|Dedicated|Host)Usage|Unused(Box|Ded)|Res(ervation)?:')"
)
READS: Mapping[str, str] = {
    _API: """
        select
            usage_date, issuer, account, sub_account_id, api_key_id, gateway_key_id, gateway_team_id, workload,
            'billed' as cost_measure, billing_currency,
            case
                when billed_cost is null then 'unknown' when billed_cost_rc is null then 'unconverted' else 'known'
            end as cost_status,
            cast(sum(billed_cost) as decimal(38, 18)) as cost,
            cast(sum(billed_cost_rc) as decimal(38, 18)) as cost_rc,
            count(*) as charge_count,
            count(*) filter (where billed_cost_rc is null and billed_cost < 0) as unknown_credit_count
        from fct_api_costs_daily
        where attribution != 'metered_only'
        group by
            usage_date, issuer, account, sub_account_id, api_key_id, gateway_key_id, gateway_team_id, workload,
            billing_currency, cost_status""",
    # What is charged for a GPU is below, what a commitment covers by what that costs: what is billed of it is here.
    _CLOUD: """
        select
            usage_date, issuer, account, sub_account_id, resource_id, billing_currency,
            coalesce($is_hosted, false) as is_hosted_model,
            is_gpu_resource, pricing_category is not distinct from 'Committed' as is_committed,
            coalesce($is_server_usage, false) as is_server_usage, coalesce($is_per_use, false) as is_per_use,
            billed_cost_rc is null as is_unconverted, effective_cost is null as is_effective_unknown,
            cast(sum(billed_cost) as decimal(38, 18)) as billed_cost,
            cast(sum(billed_cost_rc) as decimal(38, 18)) as billed_cost_rc,
            cast(sum(effective_cost) as decimal(38, 18)) as effective_cost,
            cast(sum(effective_cost_rc) as decimal(38, 18)) as effective_cost_rc,
            count(*) as charge_count,
            count(*) filter (where billed_cost_rc is null and billed_cost < 0) as unknown_credit_count
        from fct_cloud_charges_daily
        where
            is_book
            and (not is_gpu_resource or (pricing_category is not distinct from 'Committed' and billed_cost != 0))
        group by
            usage_date, issuer, account, sub_account_id, resource_id, billing_currency, is_hosted_model,
            is_gpu_resource, is_committed, is_server_usage, is_per_use, is_unconverted, is_effective_unknown""".replace(
        "$is_hosted", IS_HOSTED
    )
    .replace("$is_server_usage", IS_SERVER_USAGE)
    .replace("$is_per_use", IS_PER_USE),
    _GPUS: """
        select
            usage_date, issuer, account, resource_id, deployment_id, state, cost_measure, billing_currency,
            case
                when realized_cost is null then 'unknown' when realized_cost_rc is null then 'unconverted' else 'known'
            end as cost_status,
            cast(sum(realized_cost) as decimal(38, 18)) as cost,
            cast(sum(realized_cost_rc) as decimal(38, 18)) as cost_rc,
            count(*) as charge_count,
            count(*) filter (
                where realized_cost_rc is null and (realized_cost < 0 or (realized_cost is null and state = 'credit'))
            ) as unknown_credit_count
        from fct_gpu_costs_daily
        group by
            usage_date, issuer, account, resource_id, deployment_id, state, cost_measure, billing_currency,
            cost_status""",
    TOKENS: """
        select usage_date, deployment_id, workload, token_class, cast(sum(tokens) as bigint) as tokens
        from fct_self_host_tokens_daily
        where deployment_id is not null and tokens > 0
        group by usage_date, deployment_id, workload, token_class""",
    CLASSES: """
        select usage_date, deployment_id, token_class, full_cost_rc
        from fct_unit_costs_daily
        where lane = 'self_host' and token_class != 'blended'""",
    ENGINES: """
        select
            usage_date, gpu_uuid, deployment_id, state, replica_id,
            cast(sum(gpu_milliseconds) as bigint) as gpu_milliseconds
        from fct_gpu_shares_interval
        where deployment_id is not null and replica_id is not null and gpu_milliseconds > 0
        group by usage_date, gpu_uuid, deployment_id, state, replica_id""",
    STATES: """
        select distinct usage_date, issuer, resource_id, gpu_uuid
        from int_gpu_states_daily
        where gpu_uuid is not null""",
    CONTAINERS: """
        select
            usage_date, issuer, account, resource_id, billing_currency, part, cluster, namespace,
            case
                when count(*) = count(effective_cost) then cast(sum(effective_cost) as decimal(38, 18))
            end as effective_cost,
            cast(sum(line_count) as bigint) as line_count
        from fct_container_costs_daily
        where is_book
        group by usage_date, issuer, account, resource_id, billing_currency, part, cluster, namespace""",
}
PREPARE: Mapping[str, Any] = dict.fromkeys((*_UNDATED, *_DATED), pl.DataFrame.to_dicts)
_MONEY = pl.Decimal(38, 18)
GRAIN = (
    "usage_date", "lane", "issuer", "account", "sub_account_id", "api_key_id", "gateway_key_id", "gateway_team_id",
    "resource_id", "deployment_id", "workload", "cluster", "namespace", "replica_id", "cost_measure",
    "billing_currency", "cost_status",
)  # fmt: skip
# What a charge is known by stands before it.
_MEASURE_PLACE = GRAIN.index("cost_measure")
SCHEMA: Mapping[str, pl.DataType] = {
    **{name: pl.Date() if name == "usage_date" else pl.String() for name in GRAIN},
    **{name: pl.String() for attribute in ATTRIBUTES for name in (attribute, f"{attribute}_matched_by")},
    "charge_count": pl.Int64(),
    "unknown_credit_count": pl.Int64(),
    "realized_cost": _MONEY,
    "realized_cost_rc": _MONEY,
}
# Of a row of it, in SQL: what budgets and drivers call spent. GPUs and APIs are there by the one measure that is best
# known of them; of a model that a cloud hosts only what is billed counts: a commitment stands there in both measures.
IS_SPENT = "(lane in ('api', 'gpu', 'cloud_per_use') or (lane = 'cloud_model' and cost_measure = 'billed'))"
_Key = tuple[Any, ...]


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per GRAIN: what was charged (`realized_cost` in `billing_currency`, `realized_cost_rc` in the reporting
    one), and its team, cost centre and environment, each with the rule that says it; null where none does.

    `cost_measure`: billed adds up to the bills; effective is owned hardware and what a commitment covers; accrued what
    is agreed and not billed yet. `cost_status`: unknown where a charge has no amount, unconverted where no rate.
    `lane`: api, gpu, cloud_model (models that a cloud hosts, as `fct_cloud_model_costs_daily` has them), cloud_per_use
    (what services of `per_use` cost on a cloud's bill) and cloud (all else of a cloud). unknown_credit_count: of the
    charges those that have no amount in the reporting currency and lower what is owed. Of a charge that is split, each
    part counts it.
    """
    rows: list[dict[str, Any]] = []
    this = inputs["this_partition"].row(0, named=True)
    books = RuleBooks(ownership=inputs["config_ownership"], workloads=inputs["config_workloads"])
    for day in sorted({*inputs[_API], *inputs[_CLOUD], *inputs[_GPUS]}):
        if this["from_date"] <= day < this["to_date"]:
            rows.extend(_rows_of(day, inputs, books.on(day)))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rows_of(day: date, inputs: Mapping[str, Any], book: RuleBook) -> Iterator[dict[str, Any]]:
    workloads = valid_on(day, inputs["config_workloads"])
    tags = _tags_of(inputs, day) if any(rule.tags for rule in book.rules) else {}
    sums: dict[_Key, list[Any]] = {}
    for charge in _charges(day, inputs, book.rules, workloads):
        key = tuple(charge.get(name) for name in GRAIN)
        held = sums.setdefault(key, [0, 0, None, None])
        held[0] += charge["charge_count"]
        held[1] += charge["unknown_credit_count"]
        for place, name in ((2, "quanta"), (3, "quanta_rc")):
            if charge[name] is not None:
                held[place] = charge[name] + (held[place] or 0)
    owners: dict[_Key, dict[str, tuple[str, str]]] = {}
    for key, (count, credit_count, quanta, quanta_rc) in sums.items():
        known_by = key[1:_MEASURE_PLACE]
        if known_by not in owners:
            row = dict(zip(GRAIN, key, strict=True))
            owners[known_by] = book.owner_of(fields_of(row), tags.get((row["account"], row["resource_id"]), {}))
        row = dict(zip(GRAIN, key, strict=True))
        for attribute in ATTRIBUTES:
            row[attribute], row[f"{attribute}_matched_by"] = owners[known_by].get(attribute, (None, None))
        yield row | {
            "charge_count": count,
            "unknown_credit_count": credit_count,
            "realized_cost": money_of(quanta),
            "realized_cost_rc": money_of(quanta_rc),
        }


class RuleBooks:
    """All that says who owns what: rows of `config_ownership` and `config_workloads`. Days on which the same rules hold
    have one book.
    """

    def __init__(self, *, ownership: Rows, workloads: Rows) -> None:
        self._ownership = ownership
        self._workloads = workloads
        self._made: dict[tuple[tuple[int, ...], tuple[int, ...]], RuleBook] = {}

    def on(self, day: date) -> RuleBook:
        """The rules of a day."""
        ownership, workloads = valid_on(day, self._ownership), valid_on(day, self._workloads)
        # The rows are held by this: their ids are theirs.
        key = tuple(map(id, ownership)), tuple(map(id, workloads))
        if key not in self._made:
            self._made[key] = RuleBook([*map(_rule, ownership), *_teams_said_elsewhere(workloads)])
        return self._made[key]


def fields_of(row: Row) -> dict[str, str | None]:
    """What a charge is known by, as rules name it. The workspace that has no id is called Default, as in `match`.

    `lane` is one of its columns; of the others those that are there.
    """
    found = {name: row.get(name) for name in FIELDS}
    if row["lane"] == "api" and found["sub_account_id"] is None:
        found["sub_account_id"] = "Default"
    return found


def owners_of_use(row: Row, book: RuleBook) -> dict[str, str]:
    """Attribute -> owner of what a row of `fct_api_costs_daily` metered and no bill charges yet: an API has no tags."""
    known_by = {**row, "lane": "api", "workload": workload_of(row)}
    return {name: owner for name, (owner, _) in book.owner_of(fields_of(known_by), {}).items()}


def names_now(attribute: str, aliases: Rows) -> dict[str | None, str | None]:
    """Past name -> the one of now, of this attribute of owners. `aliases`: rows of `config_owner_aliases`."""
    return {
        row["past_name"]: row["present_name"]
        for row in aliases
        if row["attribute"] == attribute and row["valid_to_date"] is None
    }


def workload_of(row: Row) -> str | None:
    """The workload of a row of `fct_api_costs_daily`; None where it is nobody's."""
    workload: str | None = row["workload"]
    return None if workload == UNASSIGNED else workload


def _rule(row: Row) -> OwnerRule:
    fields = {name: row[name] for name in FIELDS if row[name] is not None}
    tags = {} if row["tags"] is None else json.loads(row["tags"])
    named = [*fields.items(), *((f"tag {key}", value) for key, value in sorted(tags.items()))]
    return OwnerRule(
        name=rule_name(named),
        fields=fields,
        says={name: row[name] for name in ATTRIBUTES if row[name] is not None},
        tags=tags,
    )


def _teams_said_elsewhere(workloads: Rows) -> Iterator[OwnerRule]:
    """`team` of a workload; and of a deployment, the one team whose workloads name it."""
    by_deployment: dict[str, set[str | None]] = defaultdict(set)
    for row in workloads:
        if row["team"] is not None:
            yield OwnerRule(
                name=rule_name([("workload", row["workload"])]),
                fields={"workload": row["workload"]},
                says={"team": row["team"]},
            )
        if row["deployment_id"] is not None:
            by_deployment[row["deployment_id"]].add(row["team"])
    for name, teams in by_deployment.items():
        if len(teams) == 1 and (team := next(iter(teams))) is not None:
            said = {"team": team}
            yield OwnerRule(
                name=rule_name([("workloads of deployment", name)]), fields={"deployment_id": name}, says=said
            )


def _tags_of(inputs: Mapping[str, Any], day: date) -> dict[tuple[str | None, str | None], dict[str, str]]:
    found: dict[tuple[str | None, str | None], dict[str, str]] = defaultdict(dict)
    for row in inputs[_TAGS].get(day, ()):
        found[row["account"], row["resource_id"]][row["tag_key"]] = row["tag_value"]
    return found


def _charges(
    day: date, inputs: Mapping[str, Any], rules: Sequence[OwnerRule], workloads: Rows
) -> Iterator[Mapping[str, Any]]:
    for row in inputs[_API].get(day, ()):
        yield {**in_quanta(row), "lane": "api", "workload": workload_of(row)}
    named = {name for rule in rules for name in rule.fields}
    containers = Containers(inputs, day) if named & {"cluster", "namespace"} else None
    for row in inputs[_CLOUD].get(day, ()):
        for whole in _cloud_parts(row):
            parts = [whole] if containers is None else containers.parts(whole)
            yield from ({**part, "lane": _cloud_lane(part)} for part in parts)
    engines = Engines(inputs, day) if named & {"replica_id", "namespace"} else None
    split = Workloads(inputs, day, workloads)
    for row in inputs[_GPUS].get(day, ()):
        whole = in_quanta(row) if containers is None else containers.of_cluster(in_quanta(row))
        for of_engine in [whole] if engines is None else engines.parts(whole):
            yield from ({**part, "lane": "gpu"} for part in split.parts(of_engine))


def _cloud_lane(part: Row) -> str:
    if part["is_hosted_model"]:
        return "cloud_model"
    # Of use that a commitment covers its share of that is what it cost, and not what is billed beside it.
    measure = "effective" if part["is_committed"] else "billed"
    return "cloud_per_use" if part["is_per_use"] and part["cost_measure"] == measure else "cloud"


def _cloud_parts(row: Row) -> Iterator[Row]:
    """What a line bills; and where a commitment covers it, which the GPUs' table says of GPUs, what that costs."""
    measures = ["billed", *(["effective"] if row["is_committed"] and not row["is_gpu_resource"] else [])]
    for measure in measures:
        cost, cost_rc = row[f"{measure}_cost"], row[f"{measure}_cost_rc"]
        status = "unknown" if cost is None else "unconverted" if cost_rc is None else "known"
        yield in_quanta({**row, "cost_measure": measure, "cost": cost, "cost_rc": cost_rc, "cost_status": status})
