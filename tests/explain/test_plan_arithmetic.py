"""What `explain plan` prints of a deployment recomputes its best count, with waiting and without."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from pipeline.decisions import commitment_scopes, deployment_plans, peak_allowances
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.plans import explain_plan
from tests.decisions.test_deployment_plans import asked, plans, verdict, workload
from tests.decisions.test_scale_downs import DAYS, LAST, Row, billed, deployment
from tests.explain.asked import Asked
from tests.explain.test_contract_arithmetic import recomputed


def explained(
    given: Mapping[str, Sequence[Row]], folder: Path, **wrong: Any
) -> tuple[Explanation, list[dict[str, Any]]]:
    rows = [{**row, **wrong} for row in plans(**given).values()]
    schemas: Mapping[str, Mapping[str, pl.DataType]] = {
        "fct_commitment_scopes_daily": commitment_scopes.SCHEMA,
        "fct_deployment_plans_daily": deployment_plans.SCHEMA,
        "fct_peak_allowances_daily": peak_allowances.SCHEMA,
        "fct_scale_downs_daily": {
            "usage_date": pl.Date(),
            "deployment_id": pl.String(),
            "capacity_tokens_per_replica_hour": pl.Decimal(38, 18),
            "capacity_source": pl.String(),
        },
    }
    tables: dict[str, Sequence[Row]] = {
        "fct_peak_allowances_daily": [],
        "fct_scale_downs_daily": [],
        "fct_day_status_daily": [{"usage_date": day, "status": "settled", "blocked_count": 0} for day in DAYS],
        **given,
        "fct_deployment_plans_daily": rows,
    }
    frames = {
        name: pl.DataFrame(
            [dict(row) for row in found],
            schema=dict(schemas[name]) if name in schemas else None,
            infer_schema_length=None,
            orient="row",
        )
        for name, found in tables.items()
    }
    return explain_plan(cast("Evidence", Asked(frames, folder)), deployment="llama", usage_date=LAST), rows


def given(wait: int | None) -> dict[str, Sequence[Row]]:
    """Under one commitment, at rates of which no hour ends in a decimal."""
    return {
        "config_deployments": [
            {
                **deployment(tokens_per_second=Decimal("0.27")),
                "is_peak_allowance_declared": True,
                "peak_allowance": Decimal("0.83"),
            }
        ],
        "config_workloads": [workload("chat"), workload("code", may_wait_hours=wait)],
        "fct_commitment_scopes_daily": [billed(name, "41", due="777") for name in ("chat", "code", "unassigned")],
        "fct_demand_hourly": [*asked("chat", [900, 0, 107]), *asked("code", [1400, 800, 0, 1])],
        "fct_verdicts_daily": [verdict("chat", "33333", 400, 70), verdict("code", "17001", 400, 70)],
    }


@pytest.mark.parametrize("wait", [None, 2])
def test_every_count_that_is_printed_recomputes_and_the_least_is_the_published_one(
    wait: int | None, tmp_path: Path
) -> None:
    found, rows = explained(given(wait), tmp_path)
    assert [one for one in found.equalities if not one.holds] == []
    steps = recomputed([line for line in found.formula if " = " in line])
    at_once = {what: value for what, value in steps.items() if what.endswith(" at once")}
    counts = {what: value for what, value in steps.items() if what.startswith("C(") and what not in at_once}
    best = min(counts, key=lambda what: (counts[what], what))
    assert best == f"C({rows[0]['best_replica_count']})"
    assert abs(counts[best] - Fraction(rows[0]["best_cost_rc"])) < Fraction(1, 10**9)
    assert bool(at_once) == (wait is not None)
    if wait is not None:
        assert counts[best] < min(at_once.values())


def test_a_plan_that_is_a_little_off_does_not_recompute(tmp_path: Path) -> None:
    found, _ = explained(given(2), tmp_path, best_cost_rc=Decimal("0.01"))
    assert "best_cost_rc" in {one.claim.split(":")[0] for one in found.equalities if not one.holds}
