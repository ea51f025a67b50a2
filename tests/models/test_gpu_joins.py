"""From a GPU to the line that bills it: resource id, else UUID held, else tag, else declared rule, else pool."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.models.gpu_harness import (
    DAY,
    GPU_CHECKS,
    INVOICE_LINES,
    SAMPLES,
    SOURCES,
    Row,
    at,
    broken_laws,
    build_tables,
    invoice_line,
    rows_of,
    watched,
)

CUR = "landed_aws_cur2__lines"
METHODS = ("provider_resource_id", "uuid_held", "tag", "declared_host", "pool")
CLOUD = {"source": "aws_cur2", "account": "aws", "dataset": "cost_and_usage", "issuer": "aws", "role": "book"}
BEFORE = DAY - timedelta(days=1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("joins")


def _instance(resource_id: str, tags: Mapping[str, str] | None, **fields: Any) -> Row:
    """A day of an instance, as a Cost and Usage Report bills it."""
    row: dict[str, Any] = {
        "source": "aws_cur2",
        "account": "aws",
        "bucket": f"{DAY:%Y-%m}",
        "usage_date": DAY,
        "bill_billing_period_start_date": at(day=DAY.replace(day=1)),
        "bill_payer_account_id": "1",
        "line_item_usage_account_id": "1",
        "line_item_usage_start_date": at(),
        "line_item_line_item_type": "Usage",
        "line_item_product_code": "AmazonEC2",
        "line_item_usage_type": "BoxUsage:g6.xlarge",
        "line_item_resource_id": resource_id,
        "line_item_currency_code": "USD",
        "line_item_unblended_cost": Decimal(24),
        "line_item_usage_amount": Decimal(24),
        "pricing_unit": "Hrs",
        "pricing_term": "OnDemand",
        "resource_tags": None if tags is None else json.dumps(tags),
    }
    return {**row, **fields}


def _resource(resource_id: str, **fields: Any) -> Row:
    return {"issuer": "gpucloud", "resource_id": resource_id, "gpu_count": 1, "currency": "USD", **fields}


def _company(evidence: Sequence[str]) -> dict[str, Sequence[Row]]:
    """One GPU on host-1, and for each kind of evidence a billed resource of its own that it points at."""
    seen_as = "by-provider_resource_id" if "provider_resource_id" in evidence else None
    samples = list(watched(0, 24, step_ms=900_000, provider_resource_id=seen_as))
    if "uuid_held" in evidence:
        samples += watched(0, 1, day=BEFORE, provider_resource_id="by-uuid_held")
    hosts = {"declared_host": {"host": "host-1"}}
    invoiced = [method for method in evidence if method != "tag"]
    return {
        SAMPLES: samples,
        INVOICE_LINES: [
            invoice_line("24.00", resource_id=f"by-{method}", line_number=number)
            for number, method in enumerate(invoiced)
        ],
        CUR: [_instance("by-tag", {"user_name": "host-1", "user_team": "x"})] if "tag" in evidence else [],
        "config_sources": [*SOURCES, CLOUD],
        "config_gpu_resources": [
            *(_resource(f"by-{method}", **hosts.get(method, {})) for method in invoiced),
            *([_resource("by-tag", issuer="aws")] if "tag" in evidence else []),
        ],
        "config_gpu_pool_hosts": [
            {"issuer": "gpucloud", "resource_id": "by-pool", "host": host} for host in ("host-1", "host-2")
        ],
    }


@pytest.mark.parametrize("count", range(6))
def test_the_best_evidence_there_is_counts(cache: Path, count: int) -> None:
    """Whatever other evidence points elsewhere. What joins to nothing is left over, on both sides."""
    for evidence in combinations(METHODS, count):
        built = build_tables(cache, _company(evidence), ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily"))
        found = [row for row in rows_of(built, "int_gpu_holdings_daily") if row["usage_date"] == DAY]
        (best,) = evidence[:1] or (None,)
        assert [(row["holding_method"], row["resource_id"]) for row in found] == [(best, best and f"by-{best}")]
        left = {
            (row["kind"], row["resource_id"])
            for row in rows_of(built, "fct_gpu_leftovers_daily")
            if row["usage_date"] == DAY
        }
        never_seen = {("billed_never_seen", f"by-{method}") for method in evidence[1:]}
        assert left == never_seen | ({("seen_never_billed", None)} if best is None else set())
        methods = {
            row["resource_id"]: row["holding_method"]
            for row in rows_of(built, "fct_gpu_costs_daily")
            if row["usage_date"] == DAY and row["gpu_milliseconds"]
        }
        assert methods == {f"by-{method}": method if method == best else None for method in evidence}


def test_the_tags_of_a_focus_export_tell_as_much(cache: Path) -> None:
    """What is no JSON object says nothing, and breaks nothing."""
    charge = {
        "source": "focus",
        "account": "azure",
        "bucket": "m",
        "usage_date": DAY,
        "provider_name": "Microsoft",
        "billing_account_id": "1",
        "billing_period_start": at(day=DAY.replace(day=1)),
        "charge_period_start": at(),
        "charge_category": "Usage",
        "resource_id": "vm-1",
        "billing_currency": "USD",
        "billed_cost": Decimal(24),
        "effective_cost": Decimal(24),
        "consumed_quantity": Decimal(24),
        "consumed_unit": "Hours",
    }
    for tags, method in (('{"machine": "host-1"}', "tag"), ("machine=host-1", None)):
        tables = {
            SAMPLES: watched(0, 24, step_ms=900_000, provider_resource_id=None),
            "landed_focus__charges": [{**charge, "tags": tags}],
            "config_sources": [*SOURCES, {**CLOUD, "source": "focus", "account": "azure", "issuer": "azure"}],
            "config_gpu_resources": [_resource("vm-1", issuer="azure")],
        }
        built = build_tables(cache, tables, ("int_gpu_holdings_daily", "fct_gpu_costs_daily"))
        assert [row["holding_method"] for row in rows_of(built, "int_gpu_holdings_daily")] == [method]
        states = {row["state"] for row in rows_of(built, "fct_gpu_costs_daily") if row["usage_date"] == DAY}
        assert states == {"held_other" if method else "unobserved"}


def test_a_name_that_two_instances_are_tagged_with_tells_neither(cache: Path) -> None:
    tables = {
        **_company(["tag"]),
        CUR: [_instance(name, {"user_name": "host-1"}) for name in ("by-tag", "other")],
        "config_gpu_resources": [_resource(name, issuer="aws") for name in ("by-tag", "other")],
    }
    found = rows_of(build_tables(cache, tables, ("int_gpu_holdings_daily",)), "int_gpu_holdings_daily")
    assert [row["holding_method"] for row in found] == [None]


def test_a_uuid_that_was_held_longer_than_a_week_ago_or_elsewhere_tells_nothing(cache: Path) -> None:
    for fields in ({"day": DAY - timedelta(days=8)}, {"day": BEFORE, "host": "host-9"}):
        tables = {
            **_company(["uuid_held"]),
            "calendar": [
                {
                    "usage_date": day,
                    "day_start_at": at(day=day),
                    "day_end_at": at(24, day=day),
                    "is_over": True,
                }
                for day in (DAY - timedelta(days=back) for back in range(40))
            ],
        }
        tables[SAMPLES] = [
            *watched(0, 24, step_ms=900_000, provider_resource_id=None),
            *watched(0, 1, provider_resource_id="by-uuid_held", **fields),
        ]
        found = rows_of(build_tables(cache, tables, ("int_gpu_holdings_daily",)), "int_gpu_holdings_daily")
        assert [row["holding_method"] for row in found if row["usage_date"] == DAY] == [None]


def test_a_pool_of_two_hosts_is_billed_once_and_has_no_host_of_its_own(cache: Path) -> None:
    """Two GPUs of two hosts for 48 dollars: an hour is a dollar wherever it was seen."""
    tables = {
        **_company(["pool"]),
        SAMPLES: [
            *watched(0, 24, step_ms=900_000, provider_resource_id=None),
            *watched(0, 12, step_ms=900_000, provider_resource_id=None, host="host-2", gpu_uuid="GPU-2"),
        ],
        INVOICE_LINES: [invoice_line("48.00", resource_id="by-pool", gpu_count="2")],
        "config_gpu_resources": [_resource("by-pool", gpu_count=2)],
    }
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    found = {
        row["state"]: (row["gpu_hours"], row["host"])
        for row in rows_of(built, "fct_gpu_costs_daily")
        if row["usage_date"] == DAY
    }
    assert found == {"held_other": (36, None), "unobserved": (12, None)}


@pytest.mark.parametrize("tags", ["", "host-1", '{"user_name": "host-1"', '["host-1"]', "null"])
def test_tags_that_are_no_json_object_tell_nothing_and_stop_nothing(cache: Path, tags: str) -> None:
    tables = _company(["tag"])
    (line,) = tables[CUR]
    built = build_tables(cache, {**tables, CUR: [{**line, "resource_tags": tags}]}, ("int_gpu_holdings_daily",))
    found = [row["holding_method"] for row in rows_of(built, "int_gpu_holdings_daily") if row["usage_date"] == DAY]
    assert found == [None]


def test_of_a_line_that_is_longer_than_a_service_the_other_days_are_a_gpus(cache: Path) -> None:
    """Each day of the line is booked once: as its service's from the day that says so, as GPU time before it."""
    rule = {"per_use_service": "burst", "account": "gpucloud", "resource_id": "node-1", "service": None, "sku": None,
            "sub_account_id": None, "valid_from_date": DAY + timedelta(days=1), "valid_to_date": None}  # fmt: skip
    tables = {
        INVOICE_LINES: [invoice_line("20.00", days=2, quantity="33")],
        "config_per_use_charges": [rule],
    }
    built = build_tables(cache, tables, ("int_gpu_charges_daily", "fct_gpu_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    assert [
        (row["usage_date"], row["charge_kind"], row["is_gpu_charge"], row["realized_cost"], row["gpu_milliseconds"])
        for row in sorted(rows_of(built, "int_gpu_charges_daily"), key=lambda row: row["usage_date"])
    ] == [
        (DAY, "gpu_instance", True, Decimal(10), 59_400_000),
        (DAY + timedelta(days=1), "per_use", False, Decimal(10), 59_400_000),
    ]
    states = [(row["usage_date"], row["state"], row["realized_cost"]) for row in rows_of(built, "fct_gpu_costs_daily")]
    assert sorted(states) == [(DAY, "unobserved", Decimal(10)), (DAY + timedelta(days=1), "per_use", Decimal(10))]
