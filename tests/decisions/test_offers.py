"""Offers of a file, weighed with a month's own traffic and forecast."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.decisions.offers import Compared, Offers, compare, read_offers
from pipeline.decisions.supposing import Supposed, WhatIfError
from pipeline.decisions.verdicts import Grounds, grounds_of
from pipeline.decisions.what_if import Case, supposing
from tests.decisions.test_verdict_conditions import on_api
from tests.decisions.test_verdict_rates import LAST, inputs_with, verdict

BUSY = [0] * 4 + [600_000] * 16 + [50_000] * 4
FILE = """
horizon_months: 6
paths: {low: 0.5, high: 2}
offers:
  - {offer: rented, kind: on_demand, gpu_hour: 2}
  - {offer: spot, kind: spot, gpu_hour: 1.5, interruption_share: 0.2}
  - {offer: year, kind: reservation, gpu_hour: 1.5, months: 12, upfront: 0.25}
  - {offer: box, kind: purchase, price: 9000, gpus: 2, months: 36, residual: 0, running_monthly: 100}
  - {offer: deal, kind: api_commitment, commitment: 6000, per: quarter, discount: 0.2, months: 6}
"""


def read(text: str, folder: Path) -> Offers:
    path = folder / "offers.yaml"
    path.write_text(text, encoding="utf-8")
    return read_offers(path)


def grounds() -> Grounds:
    case = Case(LAST, inputs_with(**on_api(BUSY)))
    found = grounds_of(*supposing(case, case.workloads()[0], Supposed()))
    assert isinstance(found, Grounds)
    return found


def compared(offers: Offers, history: list[int | None] | None = None) -> Compared:
    return compare(
        offers,
        grounds(),
        gpus_per_replica=1,
        days=28,
        history=history or [],
        last_day=date(2026, 10, 31),
        has_gpus=True,
    )


def test_offers_are_weighed_with_what_the_verdict_weighs(tmp_path: Path) -> None:
    """The API as it is costs six of this month's; GPUs at today's rate cost what the best mix does."""
    found = {one.name: one for one in compared(read(FILE, tmp_path)).costed}
    row = verdict(**on_api(BUSY))
    assert found["API as it is"].accrued["expected"] == 6 * row["api_only_cost_rc"]
    assert abs(found["GPUs at today's rate"].accrued["expected"] - 6 * row["best_cost_rc"]) < Decimal("1e-9")
    assert found["GPUs at today's rate"].replicas == row["best_replica_count"] == 2
    # Rented at 2 an hour is what they cost today; spot is 1.50 with a fifth done again.
    assert found["rented"].accrued == found["GPUs at today's rate"].accrued
    assert found["rented"].accrued["expected"] - found["spot"].accrued["expected"] == 6 * 2 * 672 * Decimal("0.2")
    assert found["year"].first_payment == 2 * Decimal("1.5") * 672 * 12 / 4
    assert found["box"].first_payment == 9000
    # A commitment of 2,000 a month is less than what is used: a fifth less is a fifth less.
    assert found["deal"].accrued["expected"] == Decimal("0.8") * 6 * row["api_only_cost_rc"]
    assert found["API as it is"].accrued["80%"] == 2 * found["API as it is"].accrued["expected"]


def test_without_enough_history_the_other_paths_are_unknown_and_said_to_be(tmp_path: Path) -> None:
    offers = read(FILE.replace("paths: {low: 0.5, high: 2}\n", ""), tmp_path)
    found = compared(offers, [sum(BUSY)] * 28)
    assert set(found.paths) == {"expected"}
    assert "its 20 and 80% paths are unknown" in found.remarks[0]


def test_with_history_the_paths_are_those_of_the_forecast(tmp_path: Path) -> None:
    """Traffic that swings by weeks swings in the forecast; low is below expected is below high, and wider later."""
    offers = read(FILE.replace("paths: {low: 0.5, high: 2}\n", ""), tmp_path)
    week = sum(BUSY)
    history: list[int | None] = [week * (3 if number // 7 % 3 == 0 else 2) for number in range(7 * 40)]
    found = compared(offers, history)
    low, expected, high = (found.paths[name] for name in ("20%", "expected", "80%"))
    assert all(one <= two <= three for one, two, three in zip(low, expected, high, strict=True))
    assert high[0] - low[0] < high[-1] - low[-1]
    assert len(low) == 6


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("offers: []", "offers: Tuple should have at least 1 item"),
        ("offers: [{offer: a, kind: lease}]", r"offers.0: Input tag 'lease' found using 'kind' does not match"),
        ("offers: [{offer: a, kind: on_demand}]", "offers.0.on_demand.gpu_hour: Field required"),
        ("offers: [{offer: a, kind: on_demand, gpu_hour: -1}]", "greater than or equal to 0"),
        ("offers: [{offer: a, kind: on_demand, gpu_hour: 1, hours: 2}]", "hours: Extra inputs are not permitted"),
        (
            "offers: [{offer: a, kind: on_demand, gpu_hour: 1}, {offer: a, kind: on_demand, gpu_hour: 2}]",
            "the offer 'a' is there twice",
        ),
        ("offers: [", "offers.yaml is no YAML"),
        ("horizon_months: 2026-13-45\noffers: []", "offers.yaml is no YAML"),
        ("offers: " + "[" * 5000, "offers.yaml is nested too deep"),
        (FILE.replace("residual: 0", "residual: 9001"), "residual is 9001, more than the price of 9000"),
        (FILE.replace("low: 0.5, high: 2", "low: 2, high: 0.5"), "low is 2, above high, 0.5: swap them"),
        (FILE.replace("offer: spot", "offer: API as it is"), "'API as it is' stands beside the offers already"),
        ("42", "the file: Input should be a valid dictionary"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(WhatIfError, match=said):
        read(text, tmp_path)


def test_how_long_the_months_are_is_said(tmp_path: Path) -> None:
    assert (
        "Each of the 6 months is as long as this one, 28 days: 168 days in all."
        in compared(read(FILE, tmp_path)).remarks
    )


def test_free_gpus_are_taken(tmp_path: Path) -> None:
    free = read("offers: [{offer: free, kind: on_demand, gpu_hour: 0}]", tmp_path)
    best = compared(free).costed[0]
    assert (best.name, best.replicas > 0) == ("free", True)


def test_a_box_that_makes_no_replica_is_refused(tmp_path: Path) -> None:
    offers = read(FILE, tmp_path)
    with pytest.raises(WhatIfError, match="2 GPUs make no replica, which takes 4"):
        compare(
            offers,
            grounds(),
            gpus_per_replica=4,
            days=28,
            history=[],
            last_day=LAST,
            has_gpus=False,
        )
