"""What the hosts that were seen amount to: the deployments that would declare them, and how they are named."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipeline.formats import currency as currencies

MOST_PROPOSED = 8

Row = Mapping[str, Any]


def deployments_seen(hosts: Sequence[Row], currency: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """An entry of `deployments:` for each model served, dearest first, and what it covers. `hosts`: of `hosts_seen`.

    Where Kubernetes says what made the pods (a Deployment, a StatefulSet), each of these is one, by its name there.
    """
    by_model: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in hosts:
        # A host that serves several models is a person's to divide.
        if row["served_names"] is not None and ", " not in row["served_names"]:
            by_model[row["served_names"], _owner(row)].append(row)
    taken: set[str] = set()
    ranked = sorted(by_model.items(), key=lambda one: (-cost_of(one[1]), -milliseconds_of(one[1]), one[0]))
    for (served, owner), rows in ranked[:MOST_PROPOSED]:
        model = served.rpartition("/")[2]
        gpus = min(row["gpu_count"] for row in rows)
        hours = f"{milliseconds_of(rows) / 3_600_000:,.1f} GPU-hours"
        money = f"{currencies.money(cost_of(rows), currency)}, " if cost_of(rows) else ""
        yield (
            {"deployment": unique(slug(owner or model), taken), "model": model.lower(), "served_names": [served],
             "hosts": [row["host"] for row in rows], "gpus_per_replica": gpus},
            f"covers {money}{hours}",
        )  # fmt: skip


def _owner(row: Row) -> str:
    """What made the pods on a host; empty where nobody says, or several did: these are a person's to divide."""
    owners = row.get("owners") or ""
    return "" if ", " in owners else owners


def cost_of(rows: Iterable[Row]) -> Decimal:
    """What is known of their cost, in the reporting currency: what is unknown is in no ranking."""
    return sum((row["cost_rc"] or Decimal(0) for row in rows), start=Decimal(0))


def milliseconds_of(rows: Iterable[Row]) -> int:
    """GPU-milliseconds that were observed."""
    return sum(row["serving_gpu_milliseconds"] + row["other_gpu_milliseconds"] for row in rows)


def slug(text: str) -> str:
    """A name that breakeven.yaml takes, of an id or a model: `wrkspc_01DemoSupport` is `demo-support`."""
    bare = re.sub(r"^(?:wrkspc|proj|apikey|key)[_-](?:0\d)?", "", text)
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z])(?=[A-Z])", "-", bare).lower()).strip("-")
    return name[:40].strip("-") or "workload"


def unique(name: str, taken: set[str]) -> str:
    """The name, numbered where it is taken; it is taken from then on."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    taken.add(found)
    return found
