"""RunPod's billing history: three answers a window, days that are whole, and a pod's time that is not a GPU's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import QuarantineError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources.ingest import ingest
from pipeline.sources.recognise import recognise_bytes
from pipeline.sources.runpod_billing import CHARGES, SOURCE, drop, fetch, parse
from tests.pipeline.small_project import SmallProject, source
from tests.sources.admin_api import KEY, NOW, Answer, Sleeps, context, serving

WINDOW = {"window_from": "2026-11-01T00:00:00Z", "window_to": "2026-12-01T00:00:00Z"}
POD = {"amount": 47.52, "podId": "pod-1", "time": "2026-11-03T00:00:00Z", "timeBilledMs": 86_400_000,
       "diskSpaceBilledGb": 50}  # fmt: skip
WORKER = {"amount": 1.25, "endpointId": "ep-1", "time": "2026-11-03T00:00:00Z", "timeBilledMs": 1_234_567}
VOLUME = {"amount": 0.07, "time": "2026-11-03 00:00:00", "diskSpaceBilledGb": 30}


@dataclass
class RunPod:
    """Three lists, by path; `faults` are answered first."""

    pods: list[dict[str, Any]] = field(default_factory=lambda: [POD])
    endpoints: list[dict[str, Any]] = field(default_factory=lambda: [WORKER])
    networkvolumes: list[dict[str, Any]] = field(default_factory=lambda: [VOLUME])
    faults: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.asked.append((path, dict(params)))
        if self.faults:
            return self.faults.pop(0)
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer(status=401, body=b'{"error": "unauthorized"}')
        return Answer(body=json.dumps(getattr(self, path.rpartition("/")[2])).encode())


def fetched(runpod: RunPod, *, sleeps: Sleeps | None = None, **more: Any) -> list[Fetched]:
    with serving(runpod) as api:
        return list(fetch(context(api, from_at=datetime(2026, 11, 3, tzinfo=UTC), sleeps=sleeps, **more)))


def rows(*records: Mapping[str, Any], settings: Mapping[str, Any] = WINDOW) -> list[dict[str, Any]]:
    frame = parse(json.dumps(list(records)).encode(), settings)[CHARGES.name]
    assert dict(frame.schema) == CHARGES.schema
    return frame.to_dicts()


def test_a_window_is_one_delivery_of_all_three_answers_by_day() -> None:
    runpod = RunPod()
    (delivery,) = fetched(runpod)
    assert [payload.name for payload in delivery.payloads] == ["pods.json", "endpoints.json", "networkvolumes.json"]
    assert [path for path, _ in runpod.asked] == ["/billing/pods", "/billing/endpoints", "/billing/networkvolumes"]
    assert runpod.asked[0][1] == {
        "bucketSize": "day",
        "grouping": "podId",
        "startTime": "2026-11-03T00:00:00Z",
        "endTime": "2026-11-16T00:00:00Z",
    }
    assert [asked.get("grouping") for _, asked in runpod.asked] == ["podId", "endpointId", None]
    assert (delivery.stated_at, delivery.complete) == (NOW, True)


def test_a_record_is_a_charge_of_its_day_with_its_time_or_its_space() -> None:
    """B7: milliseconds come back from the hours; a network volume has no time."""
    pod, worker, volume = rows(POD, WORKER, VOLUME)
    assert (pod["usage_date"], pod["billed_cost"], pod["billing_currency"]) == (
        date(2026, 11, 3),
        Decimal("47.52"),
        "USD",
    )
    assert (pod["service_name"], pod["resource_id"], pod["consumed_quantity"], pod["consumed_unit"]) == (
        "Pods", "pod-1", Decimal(24), "Hours",
    )  # fmt: skip
    assert pod["other_columns"] == '{"diskSpaceBilledGb": 50}'
    assert round(worker["consumed_quantity"] * 3_600_000) == 1_234_567
    assert (volume["service_name"], volume["consumed_quantity"], volume["consumed_unit"]) == (
        "Network Volumes", Decimal(30), "GB",
    )  # fmt: skip


def test_a_floats_last_digits_are_no_money_and_a_later_field_is_kept() -> None:
    """B24."""
    (row,) = rows({**POD, "amount": 3.3333333333333335e-07, "cloudType": "SECURE"})
    assert row["billed_cost"] == Decimal("0.000000333333333333")
    assert '"amount": 3.3333333333333335e-07' in row["other_columns"]
    assert '"cloudType": "SECURE"' in row["other_columns"]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"amount": None}, "record 1: amount is missing"),
        ({"time": "yesterday"}, "record 1: time is"),
        ({"timeBilledMs": -1}, "record 1: timeBilledMs is -1, not a count"),
        ({"time": "2026-12-01T00:00:00Z"}, "outside the window"),
        ({"podId": 7}, "podId is 7, not text"),
    ],
)
def test_a_record_that_drifted_is_refused_with_its_place(record: dict[str, Any], words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        rows({**POD, **record})


def test_a_saved_answer_is_one_of_three_and_is_refused() -> None:
    """B12: alone it would replace the days of the others."""
    content = json.dumps([POD]).encode()
    assert recognise_bytes("x.json", content).source == "runpod_billing"
    with pytest.raises(QuarantineError, match="one of three"):
        parse(content, drop("pods.json", content, {}).settings)


def test_a_limit_is_waited_out_and_a_page_that_is_none_is_asked_for_again() -> None:
    sleeps = Sleeps()
    faults = [Answer(status=429, headers={"Retry-After": "7"}), Answer(body=b'{"data": []}')]
    assert len(fetched(RunPod(faults=faults), sleeps=sleeps)) == 1
    assert sleeps.seconds == [7.0, 2.0]
    with pytest.raises(SourceError, match="RunPod API key") as refused:
        fetched(RunPod(), environment={"ACME_ADMIN_KEY": "rpa_NEVER-PRINT-ME"})
    assert "NEVER-PRINT-ME" not in str(refused.value)


def test_doctor_asks_for_yesterdays_pods() -> None:
    assert SOURCE.probe is not None
    with serving(RunPod()) as api:
        (probe,) = SOURCE.probe(context(api))
        assert probe.ask(5).access == "allowed"


def test_a_declared_pod_has_gpu_hours_and_all_else_is_a_line_of_the_bill(tmp_path: Path) -> None:
    """By hand: a pod of two GPUs for 24 hours is 48 GPU-hours at 47.52; the rest is 1.32."""
    pod = {"issuer": "runpod", "resource_id": "pod-1", "host": "pod-1", "gpu_count": 2, "from": "2026-11-01"}
    now = datetime(2026, 11, 5, 6, tzinfo=UTC)
    with serving(RunPod()) as api:
        said = source("runpod_billing", "runpod", key_env="RUNPOD_API_KEY", base_url=api.base_url, horizon="2026-11-03")
        project = SmallProject(
            tmp_path, [{name: value for name, value in said.items() if name != "inbox"}],
            other_sections={"gpu_resources": [pod]},
        )  # fmt: skip
        opened = project.project
        opened.land_config(now)
        (brought,) = ingest(opened, now=now, environment={"RUNPOD_API_KEY": KEY}, sleep=Sleeps())
    assert brought.error is None
    answers = project.build(now=now)
    (gpu,) = answers.rows(
        "select sum(realized_cost) as cost, sum(gpu_milliseconds) as ms from fct_gpu_costs_daily "
        "where usage_date = '2026-11-03'"
    )
    assert (gpu["cost"], gpu["ms"]) == (Decimal("47.52"), 48 * 3_600_000)
    assert answers.one("select sum(billed_cost) from fct_cloud_charges_daily where is_book") == Decimal("48.84")
    for check in ("cloud_money_conserved", "cloud_book_of_record", "gpu_money_conserved", "gpu_time_conserved"):
        assert answers.rows(f"select * from check_{check}") == []
