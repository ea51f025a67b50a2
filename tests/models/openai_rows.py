"""Hand-made rows of OpenAI's exports, as their readers land them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from pipeline.sources.openai_costs_api import SOURCE as COSTS_API
from pipeline.sources.openai_dashboard_csv import SOURCE as DASHBOARD_CSV
from pipeline.sources.openai_usage_api import SOURCE as USAGE_API
from tests.models.api_harness import Row

COSTS = "landed_openai_costs_api__costs"
CSV_COSTS = "landed_openai_dashboard_csv__cost"
COMPLETIONS = "landed_openai_usage_api__completions"
CSV_COMPLETIONS = "landed_openai_dashboard_csv__completions"
CSV_DECISIONS = "landed_openai_dashboard_csv__decisions"
MODEL = "gpt-5-mini-2025-08-07"


def usage_view(endpoint: str) -> str:
    return f"landed_openai_usage_api__{endpoint}"


def charge(usage_date: date, amount: str, line_item: str | None = f"{MODEL}, output", **fields: Any) -> Row:
    """A result of the costs endpoint, or a row of the dashboard's cost export."""
    return {
        **_bucket(usage_date, hour=0, hours=24),
        "amount": amount,
        "currency": "USD",
        "line_item": line_item,
        **fields,
    }


def used(usage_date: date, *, hour: int = 0, hours: int = 1, **fields: Any) -> Row:
    """A result of a usage endpoint, of one model on the default tier unless said otherwise."""
    return {
        **_bucket(usage_date, hour=hour, hours=hours),
        "model": MODEL,
        "batch": False,
        "service_tier": "default",
        **fields,
    }


def of_project(usage_date: date, *, hour: int = 0, hours: int = 1, **fields: Any) -> Row:
    """A result of an endpoint that names a project only, or what `fields` say."""
    return {**_bucket(usage_date, hour=hour, hours=hours), **fields}


def openai_sources(*, costs: str = "book", csv: str = "control", account: str = "acme") -> list[Row]:
    """Rows of config_sources with the API's and the dashboard's costs in the given roles."""
    roles = {COSTS_API.name: costs, DASHBOARD_CSV.name: csv}
    return [
        {
            "source": source.name,
            "account": account,
            "dataset": dataset.name,
            "issuer": "openai",
            "role": roles[source.name] if dataset.measure == "billed" else "metered",
            "settle_lag_hours": 24,
            "settles_days": True,
        }
        for source in (COSTS_API, USAGE_API, DASHBOARD_CSV)
        for dataset in source.datasets
    ]


def _bucket(usage_date: date, *, hour: int, hours: int) -> dict[str, Any]:
    start = datetime.combine(usage_date, datetime.min.time(), tzinfo=UTC) + timedelta(hours=hour)
    return {
        "account": "acme",
        "bucket": usage_date.isoformat(),
        "usage_date": usage_date,
        "start_time": int(start.timestamp()),
        "end_time": int((start + timedelta(hours=hours)).timestamp()),
    }
