"""What of a charge is whose: of a GPU's by the engines that held it and what they served, of a server's by its pods.

Every split is exact: the parts add up to the charge in quanta of 10^-18, by largest remainder (`economics.split`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from pipeline.decisions.window import Row, Rows
from pipeline.economics.split import WEIGHT_SUM_LIMIT, split_exactly

TOKENS, CLASSES = "fct_self_host_tokens_daily", "fct_unit_costs_daily"
ENGINES, STATES, CONTAINERS = "fct_gpu_shares_interval", "int_gpu_states_daily", "fct_container_costs_daily"
UNASSIGNED = "unassigned"
# Shares in parts of this many: they are whole numbers that a split takes, whatever money they come from.
_SHARE_PARTS = 10**15
# AWS writes a container's amounts with ten decimals: its shares are whole numbers of that.
_CONTAINER_DECIMALS = 10
# As many digits as a DECIMAL(38, 18) has.
_WIDE = Context(prec=38)
_Key = tuple[Any, ...]


class Containers:
    """Which cluster a server was of that day, and what of it its namespaces had, as AWS's split view says.

    A server is split by what its containers used and by the unused part that AWS lays on them; hours in which the view
    names no container stay the server's. It is not split where the view does not come to the server's cost: where a
    container's cost is not known, hours are billed nowhere, or more is left than AWS's rounding explains.
    """

    def __init__(self, inputs: Mapping[str, Any], day: date) -> None:
        rows: dict[_Key, list[Row]] = defaultdict(list)
        clusters: dict[_Key, set[str]] = defaultdict(set)
        for row in inputs[CONTAINERS].get(day, ()):
            rows[_server(row)].append(row)
            if row["cluster"] is not None:
                clusters[row["issuer"], row["resource_id"]].add(row["cluster"])
        self._clusters = {server: next(iter(of)) for server, of in clusters.items() if len(of) == 1}
        self._shares = {server: _container_shares(of) for server, of in rows.items()}

    def of_cluster(self, row: Row) -> Row:
        """A charge with the one cluster that its server was of."""
        return {**row, "cluster": self._clusters.get((row["issuer"], row["resource_id"]))}

    def parts(self, row: Row) -> Iterator[Row]:
        """What of a server's charge is which namespace's; any other charge as it is."""
        shares = self._shares.get(_server(row)) if row["is_server_usage"] else None
        whole = self.of_cluster(row)
        if not shares:
            yield whole
            return
        keys = {f"{number:09d}": place for number, place in enumerate(sorted(shares, key=str))}
        for key, part in _split(whole, {key: shares[place] for key, place in keys.items()}):
            cluster, namespace = keys[key]
            yield {**part, "cluster": whole["cluster"] if cluster is None else cluster, "namespace": namespace}


def _server(row: Row) -> _Key:
    return row["issuer"], row["account"], row["resource_id"], row["billing_currency"]


def _container_shares(rows: Rows) -> dict[tuple[str | None, str | None], int]:
    """(cluster, namespace) -> its share of a server, in whole numbers; both None: of no container.

    Empty where the server is not split.
    """
    shares: dict[tuple[str | None, str | None], int] = defaultdict(int)
    for row in rows:
        cost = row["effective_cost"]
        if cost is None:
            return {}
        parts = _quanta(cost) // 10 ** (18 - _CONTAINER_DECIMALS)
        if row["part"] == "rounding":
            if abs(parts) > row["line_count"]:
                return {}
            # Less than a line's last digit a line: it goes with the containers whose rounding it is.
            continue
        if parts < 0:
            return {}
        shares[row["cluster"], row["namespace"]] += parts
    # A server that costs a billion a day, or is said to, is split in a coarser unit.
    coarser = 1
    while sum(shares.values()) // coarser >= WEIGHT_SUM_LIMIT:
        coarser *= 10
    return {place: share // coarser for place, share in shares.items() if share // coarser}


class Engines:
    """Which replicas held which part of a resource's GPU time, by deployment and state."""

    def __init__(self, inputs: Mapping[str, Any], day: date) -> None:
        gpus: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for row in inputs[STATES].get(day, ()):
            gpus[row["gpu_uuid"]].add((row["issuer"], row["resource_id"]))
        self._weights: dict[_Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in inputs[ENGINES].get(day, ()):
            for resource in gpus.get(row["gpu_uuid"], ()):
                weights = self._weights[(*resource, row["deployment_id"], row["state"])]
                weights[row["replica_id"]] += row["gpu_milliseconds"]

    def parts(self, row: Row) -> Iterator[Row]:
        """What of a charge is whose. Time that no engine held is of none."""
        of = (row["issuer"], row["resource_id"], row["deployment_id"], row["state"])
        weights = self._weights.get(of)
        if weights is None:
            yield row
            return
        for name, part in _split(row, weights):
            namespace, slash, _ = name.rpartition("/")
            yield {**part, "replica_id": name, "namespace": namespace if slash else None}


class Workloads:
    """What a deployment served that day, over which all that it cost is split."""

    def __init__(self, inputs: Mapping[str, Any], day: date, workloads: Rows) -> None:
        tokens = _by_deployment(inputs[TOKENS].get(day, ()))
        # What each class costs matters only where several were served.
        is_shared = any(len({row["workload"] for row in rows}) > 1 for rows in tokens.values())
        classes = _by_deployment(inputs[CLASSES].get(day, ())) if is_shared else {}
        self._weights = {name: _shares(rows, classes.get(name, ())) for name, rows in tokens.items()}
        naming: dict[str | None, set[str]] = defaultdict(set)
        for row in workloads:
            naming[row["deployment_id"]].add(row["workload"])
        self._only = {name: next(iter(of)) for name, of in naming.items() if name is not None and len(of) == 1}

    def parts(self, row: Row) -> Iterator[Row]:
        name = row["deployment_id"]
        weights = {} if name is None else self._weights.get(name, {})
        if not weights:
            yield {**row, "workload": None if name is None else self._only.get(name)}
            return
        for workload, part in _split(row, weights):
            yield {**part, "workload": None if workload == UNASSIGNED else workload}


def _shares(tokens: Rows, class_costs: Rows) -> dict[str, int]:
    """Workload -> its share of what a deployment cost on a day, in parts of 10^15; empty where nothing was served.

    `tokens`: of each workload and token class. `class_costs`: what the day's split has each class cost. Where that is
    not known of every class that was served, or is nothing, every token weighs the same.
    """
    workloads = {row["workload"] for row in tokens}
    if len(workloads) < 2:
        return dict.fromkeys(workloads, _SHARE_PARTS)
    served: dict[str, int] = defaultdict(int)
    for row in tokens:
        served[row["token_class"]] += row["tokens"]
    costs = {row["token_class"]: row["full_cost_rc"] for row in class_costs}
    known = [costs.get(name) for name in served]
    has_costs = all(cost is not None and cost >= 0 for cost in known) and any(known)
    weights: dict[str, Fraction] = defaultdict(Fraction)
    for row in tokens:
        of_class = Fraction(costs[row["token_class"]]) / served[row["token_class"]] if has_costs else Fraction(1)
        weights[row["workload"]] += row["tokens"] * of_class
    total = sum(weights.values())
    return {workload: round(weight / total * _SHARE_PARTS) for workload, weight in weights.items()}


def _split(row: Row, weights: Mapping[str, int]) -> Iterator[tuple[str, Row]]:
    """A charge's amounts over names, exactly. Where nothing is split, nothing is worked out."""
    names = sorted(weights)
    if len(names) == 1:
        yield names[0], row
        return
    parts = {
        column: [None] * len(names)
        if row[column] is None
        else split_exactly(row[column], [weights[name] for name in names], names)
        for column in ("quanta", "quanta_rc")
    }
    for number, name in enumerate(names):
        yield name, {**row, **{column: of[number] for column, of in parts.items()}}


def _by_deployment(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["deployment_id"]].append(row)
    return found


def in_quanta(row: Row) -> Row:
    """With its amounts as whole numbers of 10^-18."""
    return {**row, "quanta": _quanta(row["cost"]), "quanta_rc": _quanta(row["cost_rc"])}


def _quanta(amount: Decimal | None) -> int | None:
    # A decimal has always 18 digits after its point: without it, it counts quanta.
    return None if amount is None else int(format(amount, "f").replace(".", ""))


def money_of(quanta: int | None) -> Decimal | None:
    """Of whole numbers of 10^-18; None of None."""
    return None if quanta is None else Decimal(quanta).scaleb(-18, _WIDE)
