"""By what a bill is split over token classes, as the report and `costs --by-class` say it."""

from decimal import Decimal
from typing import Any

from pipeline.reports.token_costs import splits_in_words


def row(token_class: str, **changed: Any) -> dict[str, Any]:
    return {
        "deployment_id": "chat", "token_class": token_class, "split_method": "fitted_gpu_seconds",
        "gpu_seconds_per_mtok": Decimal(2000), "saturated_hours_count": 210, "r_squared_ratio": Decimal("0.9981"),
        "condition_ratio": 3.14, "reason": None, **changed,
    }  # fmt: skip


def test_a_fit_is_told_with_its_quality() -> None:
    rows = [row("input_uncached"), row("output", gpu_seconds_per_mtok=Decimal("20000.25"))]
    assert list(splits_in_words(rows)) == [
        "chat: split by the GPU-seconds that each takes. GPU-seconds a million tokens: input uncached 2,000.0, output "
        "20,000.2; fitted to 210 hours in which requests always waited (R squared 0.998, condition number 3.1)."
    ]


def test_a_fallback_says_to_what_and_why() -> None:
    lacking = {"gpu_seconds_per_mtok": None, "r_squared_ratio": None, "condition_ratio": None}
    rows = [
        row("output", split_method="token_count", reason="3 saturated hours, and 24 are the fewest", **lacking),
        row("output", deployment_id="search", split_method="api_prices"),
        row("output", deployment_id="triage", split_method="none", **lacking),
    ]
    assert list(splits_in_words(rows)) == [
        "chat: split by the count of tokens: 3 saturated hours, and 24 are the fewest.",
        "search: split by the prices of an API, as declared.",
        "triage: no cost to split.",
    ]
