"""What a token of each class weighs, as far as a deployment has no hour in which requests always waited."""

from collections import defaultdict
from typing import Any

from tests.oracle.landed import Project
from tests.oracle.spool import Scrape

_HOUR_MS = 3_600_000

Rows = dict[tuple[Any, ...], dict[str, Any]]


def weight_rows(project: Project, scrapes: list[Scrape], served: Rows) -> Rows:
    """fct_token_class_weights_daily where nothing is fitted: every class that was served, and no weight.

    An address of which fewer than nine of ten readings of an hour found requests waiting makes no hour of its
    deployment saturated, whatever the others do.
    """
    readings: dict[tuple[Any, ...], list[bool]] = defaultdict(list)
    for scrape in scrapes:
        if scrape.is_valid:
            readings[scrape.host, scrape.target, (scrape.at - 1) // _HOUR_MS].append(bool(scrape.waiting))
    crowded = [hour for hour, found in readings.items() if 10 * sum(found) >= 9 * len(found)]
    assert not crowded, f"the oracle fits nothing, and requests waited all through {crowded[:3]}"
    splits = {one["deployment"]: one["token_costs"]["split"] for one in project.config["deployments"]}
    rows: Rows = {}
    for (day, deployment_id, _, _, token_class), found in served.items():
        if deployment_id is None:
            continue
        row = rows.setdefault(
            (day, deployment_id, token_class),
            {
                "tokens": 0, "token_cost_split": splits[deployment_id], "class_weight_method": None,
                "token_weight_units": None, "gpu_seconds_per_mtok": None, "saturated_hours_count": 0,
                "left_out_hours_count": 0,
                "r_squared_ratio": None, "condition_ratio": None,
            },
        )  # fmt: skip
        row["tokens"] += found["tokens"]
    return rows
