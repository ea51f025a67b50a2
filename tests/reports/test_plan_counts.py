"""The count of a deployment's plan, as it stands beside the verdict of one workload."""

from datetime import timedelta
from pathlib import Path

import polars as pl

from pipeline.cli.doubts import beside_plans
from pipeline.reports.questions import Questions
from tests.reports.fake_snapshot import DAY, snapshot_of


def test_the_count_of_a_plan_stands_beside_the_verdicts_own(tmp_path: Path) -> None:
    """Of the verdict's own day, and where one is decided; without any plan there is no such column."""
    decided = {"usage_date": DAY, "deployment_id": "llama", "status": "decided", "best_replica_count": 2}
    plans = [
        {**decided, "workload": "chat"},
        {**decided, "workload": "chat", "usage_date": DAY - timedelta(days=1), "best_replica_count": 7},
        {**decided, "workload": "mail", "status": "unknown", "best_replica_count": None},
        {**decided, "workload": "stale", "usage_date": DAY - timedelta(days=1)},
    ]
    verdicts = pl.DataFrame({"usage_date": [DAY] * 3, "workload": ["chat", "mail", "stale"]})
    with Questions(snapshot_of({"fct_deployment_plans_daily": plans}, tmp_path / "with")) as questions:
        found = beside_plans(questions, verdicts)
    assert found.select("workload", "plan_replica_count").rows() == [("chat", 2), ("mail", None), ("stale", None)]
    with Questions(snapshot_of({}, tmp_path / "without")) as questions:
        assert beside_plans(questions, verdicts).columns == verdicts.columns
