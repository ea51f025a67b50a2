"""Rows of a made-up workload, for the alert tests."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pipeline.alerts.case import AlertRow, VerdictRow

NOW = datetime(2026, 1, 9, 8, 0, tzinfo=UTC)
DAY = date(2026, 1, 8)


def verdict(**changes: Any) -> VerdictRow:
    row: dict[str, Any] = {
        "usage_date": DAY,
        "workload": "support-chat",
        "team": "helpdesk",
        "status": "decided",
        "reason": "The 7-day mean stayed above 1.10 of the first break-even for 7 days.",
        "window_from_date": date(2025, 12, 12),
        "window_days_count": 28,
        "demand_tokens_per_day": 66_700_000,
        "api_price_rc_per_mtok": Decimal("5.50"),
        "api_price_basis": "realized, no commitment declared",
        "deployment_id": "llama-70b",
        "gpu_hour_rate_rc": Decimal("2.49"),
        "gpu_rate_basis": "billed",
        "capacity_basis": "declared",
        "capacity_tokens_per_replica_hour": 4_300_000,
        "api_only_cost_rc": Decimal("10267.30"),
        "all_self_host_cost_rc": Decimal("10045.10"),
        "all_self_host_replica_count": 3,
        "best_cost_rc": Decimal("5261.25"),
        "best_replica_count": 1,
        "breakeven_first_tokens_per_day": 43_600_000,
        "breakeven_stable_tokens_per_day": 51_200_000,
        "full_replica_margin_rc": Decimal("448.20"),
        "breakeven_utilization_ratio": 0.42,
        "demand_ratio": 1.53,
        "current_lane": "api",
        "current_cost_rc": Decimal("10105.81"),
        "recommendation": "switch_to_self_host",
        "saving_rc_per_month": Decimal("5363.62"),
    }
    if "workload" in changes:
        # Workloads on one deployment are rivals for one recommendation; a test that wants that says so.
        row["deployment_id"] = f"gpus-of-{changes['workload']}"
    return VerdictRow(**{**row, **changes})


def alert(**changes: Any) -> AlertRow:
    row: dict[str, Any] = {
        "usage_date": DAY,
        "workload": "support-chat",
        "state": "above",
        "is_fired": True,
        "reason": None,
        "is_frozen": False,
    }
    return AlertRow(**{**row, **changes})


class Clock:
    """A clock that only a test moves; `sleep` moves it too."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now
        self.slept_seconds: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept_seconds.append(seconds)
        self.now += timedelta(seconds=seconds)

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)
