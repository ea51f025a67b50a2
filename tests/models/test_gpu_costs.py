"""Where the money and the hours of GPU bills go."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.models.gpu_harness import (
    API_COSTS,
    DAY,
    GPU_CHECKS,
    INVOICE_LINES,
    INVOICE_TOTALS,
    NODE,
    OWNED,
    RECORDS,
    SAMPLES,
    SCRAPES,
    Row,
    Rows,
    at,
    broken,
    broken_laws,
    build_tables,
    days_of,
    deployment,
    invoice_line,
    invoice_total,
    owned_charge,
    rows_of,
    sample,
    scrape,
    watched,
)

SERVED = {
    "config_deployments": [deployment()],
    "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama"}],
}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu_costs")


def states(rows: Rows, *, value: str = "realized_cost", day: Any = DAY) -> dict[tuple[str | None, str], Any]:
    """(deployment, state) -> value of a day."""
    return {(row["deployment_id"], row["state"]): row[value] for row in rows if row["usage_date"] == day}


def costs(cache: Path, tables: Mapping[str, Sequence[Row]]) -> Rows:
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    return rows_of(built, "fct_gpu_costs_daily")


def busy_engine(from_hour: float, to_hour: float, *, step: float = 0.25, **fields: Any) -> list[Row]:
    """Scrapes in which requests run the whole time; the first is the baseline."""
    count = round((to_hour - from_hour) / step)
    return [
        scrape(at(from_hour + step * (index + 1)), round(step * 3_600_000), 1000 * index, 100 * index, **fields)
        for index in range(count)
    ]


def serving(from_hour: float, to_hour: float, **fields: Any) -> list[Row]:
    return busy_engine(from_hour, to_hour, requests_running=3, **fields)


def test_a_node_hour_is_split_by_the_gpus_that_each_deployment_holds(cache: Path) -> None:
    """$98.32 an hour for 8 GPUs, A holds 4, B holds 2: 49.16, 24.58 and 24.58 held by nobody. B13. Case 2."""
    gpus = [f"GPU-{number}" for number in range(8)]
    tables = {
        SAMPLES: [
            row
            for number, gpu in enumerate(gpus)
            for row in watched(0, 1, gpu_uuid=gpu, compute_process_count=1 if number < 6 else 0)
        ],
        SCRAPES: [
            *serving(0, 1, gpus=gpus[:4], target="a", model_name="a"),
            *serving(0, 1, gpus=gpus[4:6], target="b", model_name="b"),
        ],
        INVOICE_LINES: [
            invoice_line("98.32", gpu_count="8", quantity="1", period_end=f"{DAY}T01:00:00Z"),
        ],
        "config_deployments": [deployment(deployment_id="a"), deployment(deployment_id="b")],
        "config_deployment_served_names": [
            {"deployment_id": "a", "served_name": "a"},
            {"deployment_id": "b", "served_name": "b"},
        ],
    }
    assert states(costs(cache, tables)) == {
        ("a", "serving"): Decimal("49.16"),
        ("b", "serving"): Decimal("24.58"),
        (None, "unallocated"): Decimal("24.58"),
    }


def test_half_an_hour_of_a_deployment_costs_half_an_hour(cache: Path) -> None:
    """The same node, B there for 30 minutes only: 12.29, and 36.87 held by nobody. Case 3."""
    gpus = [f"GPU-{number}" for number in range(8)]
    tables = {
        SAMPLES: [
            *[row for gpu in gpus[:4] for row in watched(0, 1, gpu_uuid=gpu)],
            *[row for gpu in gpus[4:6] for row in watched(0, 0.5, gpu_uuid=gpu)],
            *[row for gpu in gpus[4:6] for row in watched(0.5, 1, gpu_uuid=gpu, compute_process_count=0)],
            *[row for gpu in gpus[6:] for row in watched(0, 1, gpu_uuid=gpu, compute_process_count=0)],
        ],
        SCRAPES: [
            *serving(0, 1, gpus=gpus[:4], target="a"),
            *serving(0, 0.5, gpus=gpus[4:6], target="b", model_name="b"),
        ],
        INVOICE_LINES: [invoice_line("98.32", gpu_count="8", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        **SERVED,
    }
    found = states(costs(cache, tables))
    assert found[("chat", "serving")] == Decimal("49.16")
    assert found[(None, "serving")] == Decimal("12.29")
    assert found[(None, "unallocated")] == Decimal("36.87")


@pytest.mark.parametrize(
    ("amount", "parts"),
    [
        ("100.00", ("33.333333333333333334", "33.333333333333333333", "33.333333333333333333")),
        ("-100.00", ("-33.333333333333333334", "-33.333333333333333333", "-33.333333333333333333")),
        ("0.000000000000000001", ("0.000000000000000001", "0", "0")),
    ],
)
def test_three_days_of_a_line_sum_to_the_line(cache: Path, amount: str, parts: tuple[str, ...]) -> None:
    """Largest remainder, the sign last: a credit mirrors its charge. B7, B10. Case 1."""
    tables = {
        INVOICE_LINES: [invoice_line(amount, days=3, charge_kind="support", resource_id=None)],
        "calendar": days_of(DAY, DAY + timedelta(days=3)),
    }
    assert [row["realized_cost"] for row in costs(cache, tables)] == [Decimal(part) for part in parts]


def test_a_month_end_line_is_booked_in_both_months(cache: Path) -> None:
    """A line over a month's edge: each month builds its own days, and they sum to the line. B8, B29."""
    first = DAY.replace(day=30)
    tables = {
        INVOICE_LINES: [invoice_line("70.01", day=first, days=4)],
        "calendar": days_of(first, first + timedelta(days=6)),
    }
    rows = costs(cache, tables)
    assert [row["usage_date"].day for row in rows] == [30, 1, 2, 3]
    assert sum(row["realized_cost"] for row in rows) == Decimal("70.01")


def test_unobserved_hours_are_not_idle(cache: Path) -> None:
    """A telemetry gap of ten minutes in a node-hour is a sixth of its money in unobserved. B19. Case 27."""
    tables = {
        SAMPLES: [*watched(0, 0.5), *watched(0.5 + 1 / 6, 1)],
        SCRAPES: busy_engine(0, 1),
        INVOICE_LINES: [invoice_line("6.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        **SERVED,
    }
    found = states(costs(cache, tables))
    assert found[("chat", "unobserved")] == Decimal("1.00")
    assert sum(found.values()) == Decimal("6.00")


@pytest.mark.parametrize("scope", ["training", "serving"])
def test_on_what_is_there_to_train_models_no_time_that_no_engine_has_is_waste(cache: Path, scope: str) -> None:
    """By hand, 6 of 24 hours each: an engine, other work, nothing, unseen. Every law holds; it sums to the bill.

    Training is in no token's price.
    """
    tables = {
        SAMPLES: [
            *watched(0, 6), *watched(6, 12, compute_process_count=1), *watched(12, 18, compute_process_count=0),
        ],
        SCRAPES: busy_engine(0, 6),
        INVOICE_LINES: [invoice_line("48.00")],
        "config_gpu_resources": [NODE | {"scope": scope}],
        **SERVED,
    }  # fmt: skip
    shown = ("fct_gpu_costs_daily", "fct_idle_runs_daily", "fct_unit_costs_daily")
    built = build_tables(cache, tables, (*shown, *GPU_CHECKS))
    assert broken_laws(built) == []
    priced = {row["full_cost_rc"] for row in rows_of(built, shown[-1]) if row["token_class"] == "blended"}
    assert priced == {12 if scope == "training" else 24}
    found = states(rows_of(built, "fct_gpu_costs_daily"))
    idle_hours = sum(row["gpu_milliseconds"] for row in rows_of(built, "fct_idle_runs_daily")) // 3_600_000
    engines = {("chat", "serving"): Decimal("11.5"), ("chat", "loaded_idle"): Decimal("0.5")}
    if scope == "training":
        assert found == {**engines, (None, "training"): 36}
        assert idle_hours == 0
    else:
        assert found == {
            **engines, (None, "held_other"): 12, (None, "unallocated"): 12, ("chat", "unobserved"): 12,
        }  # fmt: skip
        assert idle_hours == 6


def test_a_resource_without_telemetry_is_wholly_unobserved_and_a_leftover(cache: Path) -> None:
    """Billed, never seen. B19."""
    tables = {INVOICE_LINES: [invoice_line("98.32", gpu_count="8")]}
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily"))
    assert states(rows_of(built, "fct_gpu_costs_daily")) == {(None, "unobserved"): Decimal("98.32")}
    (leftover,) = rows_of(built, "fct_gpu_leftovers_daily")
    assert (leftover["kind"], leftover["gpu_hours"]) == ("billed_never_seen", 192.0)


def test_a_gpu_that_no_bill_names_is_a_leftover_and_costs_nothing(cache: Path) -> None:
    """Seen, never billed; its hours are not idle waste of anybody."""
    tables = {SAMPLES: watched(0, 2, provider_resource_id="unknown")}
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily"))
    assert rows_of(built, "fct_gpu_costs_daily") == []
    (leftover,) = rows_of(built, "fct_gpu_leftovers_daily")
    assert (leftover["kind"], leftover["gpu_uuid"], leftover["gpu_hours"]) == ("seen_never_billed", "GPU-1", 2.0)


def test_more_seen_than_billed_keeps_the_money_shows_the_rest_and_fails_the_check(cache: Path) -> None:
    """Six hours seen, four billed: the bill stays whole, two hours are left over, the law is broken. B13."""
    tables = {
        SAMPLES: watched(0, 6, compute_process_count=0),
        INVOICE_LINES: [invoice_line("12.00", quantity="4")],
    }
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", "fct_gpu_leftovers_daily", *GPU_CHECKS))
    rows = rows_of(built, "fct_gpu_costs_daily")
    assert states(rows) == {(None, "unallocated"): Decimal("12.00")}
    assert states(rows, value="gpu_hours") == {(None, "unallocated"): 4.0}
    assert [row["gpu_hours"] for row in rows_of(built, "fct_gpu_leftovers_daily")] == [2.0]
    assert [law.split()[0] for law in broken_laws(built)] == ["gpu_seen_is_paid_for"]


def test_a_missing_gpu_of_a_watched_host_is_paid_but_not_present(cache: Path) -> None:
    """Two GPUs billed, one in the inventory all day: half the bill is not_present."""
    tables = {
        SAMPLES: watched(0, 24, compute_process_count=0),
        INVOICE_LINES: [invoice_line("48.00", gpu_count="2")],
    }
    assert states(costs(cache, tables)) == {
        (None, "unallocated"): Decimal("24.00"),
        (None, "not_present"): Decimal("24.00"),
    }


def test_a_gpu_in_the_inventory_without_samples_is_unobserved_not_missing(cache: Path) -> None:
    record = {
        "account": "fleet",
        "usage_date": DAY,
        "host": "host-1",
        "boot_id": "boot-1",
        "agent_start_id": "agent-1",
        "sequence_number": 1,
        "at": at(0),
        "record": "gpu",
        "gpu_uuid": "GPU-2",
        "provider_resource_id": "node-1",
    }
    tables = {
        SAMPLES: watched(0, 24, compute_process_count=0),
        RECORDS: [record],
        INVOICE_LINES: [invoice_line("48.00", gpu_count="2")],
    }
    assert states(costs(cache, tables))[(None, "unobserved")] == Decimal("24.00")


def test_an_unhealthy_gpu_is_neither_idle_nor_unobserved(cache: Path) -> None:
    tables = {
        SAMPLES: [
            *watched(0, 12, compute_process_count=0),
            *watched(12, 24, health="gpu_is_lost", util_gpu_pct=None, compute_process_count=None),
        ],
        INVOICE_LINES: [invoice_line("48.00")],
    }
    assert states(costs(cache, tables)) == {
        (None, "unallocated"): Decimal("24.00"),
        (None, "unhealthy"): Decimal("24.00"),
    }


@pytest.mark.parametrize("memory_used_bytes", [None, 0, 60_000_000_000])
def test_a_sample_without_readings_proves_nothing(cache: Path, memory_used_bytes: int | None) -> None:
    """NOT_SUPPORTED is no zero: where neither activity nor processes are read the hour is unobserved, not idle, however
    much memory is used (MIG without profiling). B18.
    """
    blank = {"util_gpu_pct": None, "memory_used_bytes": memory_used_bytes, "compute_process_count": None}
    tables = {SAMPLES: watched(0, 24, **blank), INVOICE_LINES: [invoice_line("48.00")]}
    assert states(costs(cache, tables)) == {(None, "unobserved"): Decimal("48.00")}


def test_utilisation_without_an_engine_is_held_by_other_work(cache: Path) -> None:
    """Kernels run and no engine is known: somebody holds the GPU, it is not free. B18."""
    tables = {
        SAMPLES: watched(0, 24, compute_process_count=None, memory_used_bytes=None, util_gpu_pct=99),
        INVOICE_LINES: [invoice_line("48.00")],
    }
    assert states(costs(cache, tables)) == {(None, "held_other"): Decimal("48.00")}


def test_an_agreed_node_accrues_until_its_bill_comes(cache: Path) -> None:
    """24 h of 8 GPUs at $2.50; the bill supersedes the whole day, and an unfinished day accrues nothing."""
    node = {**NODE, "gpu_count": 8, "contract_rate_per_gpu_hour": Decimal("2.50"), "valid_from_date": DAY}
    tables = {
        "config_gpu_resources": [node],
        "calendar": days_of(DAY, DAY + timedelta(days=2), as_of=at(60)),
        INVOICE_LINES: [invoice_line("400.00", gpu_count="8")],
    }
    rows = costs(cache, tables)
    assert [(row["usage_date"], row["cost_measure"], row["realized_cost"]) for row in rows] == [
        (DAY, "billed", Decimal("400.00")),
        (DAY + timedelta(days=1), "accrued", Decimal("480.00")),
    ]


def test_an_agreed_node_without_a_rate_is_unpriced_not_free(cache: Path) -> None:
    """Missing is not zero. B4."""
    tables = {"config_gpu_resources": [NODE], "calendar": days_of(DAY, DAY)}
    (row,) = costs(cache, tables)
    assert (row["gpu_hours"], row["realized_cost"], row["realized_cost_rc"]) == (24.0, None, None)


def test_owned_gpus_cost_depreciation_hosting_and_power_for_the_same_hours(cache: Path) -> None:
    """Three charges of one asset add their money and not their hours; the measure is effective. B25."""
    charges = [("depreciation", "138.0821"), ("hosting", "20.00"), ("power", "14.5366")]
    tables = {
        OWNED: [owned_charge(kind, amount) for kind, amount in charges],
        SAMPLES: watched(0, 24, provider_resource_id=None, compute_process_count=0),
    }
    (row,) = costs(cache, tables)
    assert (row["cost_measure"], row["gpu_hours"], row["realized_cost"]) == ("effective", 24.0, Decimal("172.6187"))
    assert row["holding_method"] == "declared_host"


def test_tax_storage_and_credits_stay_beside_the_gpus(cache: Path) -> None:
    """Lines that name no GPU keep their money and have no hours. B24."""
    kinds = {"tax": "8.25", "storage": "3.10", "credit": "-5.00", "other": "1.00"}
    tables = {
        INVOICE_LINES: [
            invoice_line("48.00"),
            *[
                invoice_line(amount, line_number=number, charge_kind=kind, resource_id=None)
                for number, (kind, amount) in enumerate(kinds.items(), start=2)
            ],
        ],
        INVOICE_TOTALS: [invoice_total("55.35")],
    }
    found = states(costs(cache, tables))
    assert found == {
        (None, "unobserved"): Decimal("48.00"),
        (None, "tax"): Decimal("8.25"),
        (None, "overhead"): Decimal("4.10"),
        (None, "credit"): Decimal("-5.00"),
    }


def test_a_credit_for_a_resource_lowers_what_its_hours_cost(cache: Path) -> None:
    tables = {
        SAMPLES: watched(0, 24, compute_process_count=0),
        INVOICE_LINES: [invoice_line("48.00"), invoice_line("-12.00", line_number=2, charge_kind="credit")],
    }
    rows = costs(cache, tables)
    assert states(rows) == {(None, "unallocated"): Decimal("36.00")}
    assert states(rows, value="gpu_hours") == {(None, "unallocated"): 24.0}


def test_another_currency_is_unconverted_and_never_added(cache: Path) -> None:
    """EUR has no figure in USD until a rate is known. B23."""
    tables = {
        INVOICE_LINES: [
            invoice_line("48.00"),
            invoice_line("40.00", line_number=2, resource_id="node-2", currency="EUR"),
        ]
    }
    found = {row["billing_currency"]: row["realized_cost_rc"] for row in costs(cache, tables)}
    assert found == {"USD": Decimal("48.00"), "EUR": None}


def test_a_controls_lines_are_not_money(cache: Path) -> None:
    """One dollar, one home. B22."""
    control = {
        "source": "invoice_csv",
        "account": "gpucloud",
        "dataset": "invoice",
        "issuer": "gpucloud",
        "role": "control",
    }
    tables = {INVOICE_LINES: [invoice_line("48.00")], "config_sources": [control]}
    assert costs(cache, tables) == []


@pytest.mark.parametrize("configured", ["invoice_csv", "vast_charges"])
def test_of_two_sources_that_bill_a_month_by_lines_the_configured_one_is_summed(cache: Path, configured: str) -> None:
    """B22: one taken out of breakeven.yaml still has its lines in landing, and they are not added to the others'."""
    book = {"source": configured, "account": "gpucloud", "dataset": "invoice", "issuer": "gpucloud", "role": "book"}
    amounts = {"invoice_csv": "48.00", "vast_charges": "24.00"}
    lines = [invoice_line(amount, source=name) for name, amount in amounts.items()]
    built = build_tables(cache, {INVOICE_LINES: lines, "config_sources": [book]}, ("fct_gpu_costs_daily",))
    charged = [row["realized_cost"] for row in rows_of(built, "fct_gpu_costs_daily")]
    assert sum(charged) == Decimal(amounts[configured])


def test_an_invoice_that_does_not_tie_shows_its_residual(cache: Path) -> None:
    tables = {INVOICE_LINES: [invoice_line("48.00")], INVOICE_TOTALS: [invoice_total("48.01")]}
    built = build_tables(cache, tables, ("fct_reconciliation_invoice", *GPU_CHECKS))
    (row,) = rows_of(built, "fct_reconciliation_invoice")
    assert (row["residual_cost"], row["status"]) == (Decimal("0.01"), "residual")
    assert (row["allocated_cost"], row["unallocated_cost"]) == (Decimal("48.00"), Decimal("0"))
    assert [law.split()[0] for law in broken_laws(built)] == ["gpu_invoice_reconciles"]


def test_a_billed_resource_of_unknown_size_keeps_its_money_and_says_so(cache: Path) -> None:
    tables = {INVOICE_LINES: [invoice_line("48.00", gpu_count=None)], SAMPLES: watched(0, 1)}
    built = build_tables(cache, tables, ("fct_gpu_costs_daily", *GPU_CHECKS))
    (row,) = rows_of(built, "fct_gpu_costs_daily")
    assert (row["state"], row["gpu_milliseconds"], row["realized_cost"]) == ("unobserved", None, Decimal("48.00"))
    assert [law.split()[0] for law in broken_laws(built)] == ["gpu_hours_are_known"]


def test_a_holding_ends_where_the_gpu_is_next_seen(cache: Path) -> None:
    later = DAY + timedelta(days=1)
    tables = {
        SAMPLES: [*watched(0, 1), *watched(2, 3, day=later, provider_resource_id="node-2", host="host-2")],
        INVOICE_LINES: [
            invoice_line("48.00", days=2),
            invoice_line("48.00", days=2, line_number=2, resource_id="node-2"),
        ],
    }
    rows = rows_of(build_tables(cache, tables, ("dim_gpu_holding",)), "dim_gpu_holding")
    assert [(row["resource_id"], row["valid_from_at"], row["valid_to_at"]) for row in rows] == [
        ("node-1", at(0), at(2, day=later)),
        ("node-2", at(2, day=later), None),
    ]


def test_two_agents_do_not_observe_a_gpu_twice(cache: Path) -> None:
    """Overlapping uploads cover the same hours once. B9."""
    tables = {
        SAMPLES: [
            *watched(0, 10, compute_process_count=0),
            *watched(5, 12, agent_start_id="agent-2", step_ms=420_000, compute_process_count=0),
        ],
        INVOICE_LINES: [invoice_line("24.00")],
    }
    assert states(costs(cache, tables), value="gpu_hours") == {(None, "unallocated"): 12.0, (None, "unobserved"): 12.0}


def test_a_sample_over_midnight_is_observed_on_both_days(cache: Path) -> None:
    """The last interval of a day ends on the next: no day begins with a hole. B8, B29."""
    later = DAY + timedelta(days=1)
    first = at(23.75)
    samples = [
        sample(first + timedelta(minutes=10 * (index + 1)), 600_000, compute_process_count=0) for index in range(4)
    ]
    tables = {SAMPLES: samples, INVOICE_LINES: [invoice_line("48.00", days=2)]}
    rows = costs(cache, tables)
    assert states(rows, value="gpu_milliseconds")[(None, "unallocated")] == 900_000
    assert states(rows, value="gpu_milliseconds", day=later)[(None, "unallocated")] == 1_500_000


def test_an_agent_that_slept_has_not_observed_its_sleep(cache: Path) -> None:
    """A sample of six hours vouches for fifteen minutes. B19."""
    tables = {
        SAMPLES: [sample(at(6), 6 * 3_600_000, compute_process_count=0)],
        INVOICE_LINES: [invoice_line("24.00")],
    }
    assert states(costs(cache, tables), value="gpu_hours")[(None, "unallocated")] == 0.25


def test_idle_and_unseen_hours_of_a_declared_host_are_its_deployments_cost(cache: Path) -> None:
    """Full cost is the whole bill of the deployment's GPUs; active is what served. No tokens, no price. B14. Case 5."""
    tables = {
        SAMPLES: watched(0, 12, compute_process_count=0),
        INVOICE_LINES: [invoice_line("48.00")],
        "config_deployments": [deployment()],
        "config_deployment_hosts": [{"deployment_id": "chat", "host": "host-1"}],
    }
    built = build_tables(cache, tables, ("fct_unit_costs_daily", *GPU_CHECKS))
    (row,) = rows_of(built, "fct_unit_costs_daily")
    assert (row["full_cost_rc"], row["active_cost_rc"]) == (Decimal("48.00"), Decimal("0"))
    assert [row[name] for name in ("tokens", "full_rc_per_mtok", "active_rc_per_mtok", "marginal_rc_per_mtok")] == [
        None,
        None,
        None,
        None,
    ]


def test_declared_throughput_splits_the_bill_over_token_classes(cache: Path) -> None:
    """Case 4: 1,234,567 in, 345,678 out, one out four times the work: 23.1887061792 + 25.9712938208 = 49.16."""
    tables = {
        SAMPLES: watched(0, 1),
        SCRAPES: [
            scrape(at(0.25), 900_000, 0, 0),
            scrape(at(0.5), 900_000, 1_234_567, 345_678),
        ],
        INVOICE_LINES: [invoice_line("49.16", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployments": [
            deployment(
                prefill_tokens_per_second=Decimal(4000),
                cached_tokens_per_second=Decimal(40000),
                decode_tokens_per_second=Decimal(1000),
                peak_allowance=Decimal("0.85"),
            )
        ],
        "config_deployment_served_names": SERVED["config_deployment_served_names"],
        "config_deployment_hosts": [{"deployment_id": "chat", "host": "host-1"}],
    }
    built = build_tables(cache, tables, ("fct_unit_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    found = {row["token_class"]: row for row in rows_of(built, "fct_unit_costs_daily")}
    assert round(found["input_uncached"]["full_cost_rc"], 10) == Decimal("23.1887061792")
    assert round(found["output"]["full_cost_rc"], 10) == Decimal("25.9712938208")
    assert found["input_uncached"]["full_rc_per_mtok"] == pytest.approx(18.782866, abs=1e-6)
    assert found["output"]["full_rc_per_mtok"] == pytest.approx(75.131463, abs=1e-6)
    assert found["blended"]["full_cost_rc"] == Decimal("49.16")
    assert found["blended"]["class_weight_method"] == "declared_throughput"
    assert found["blended"]["marginal_rc_per_mtok"] == 0.0


def test_without_declared_throughput_every_token_weighs_the_same_and_says_so(cache: Path) -> None:
    tables = {
        SAMPLES: watched(0, 1),
        SCRAPES: [scrape(at(0.25), 900_000, 0, 0), scrape(at(0.5), 900_000, 3_000_000, 1_000_000)],
        INVOICE_LINES: [invoice_line("40.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployment_hosts": [{"deployment_id": "chat", "host": "host-1"}],
        **SERVED,
    }
    rows = rows_of(build_tables(cache, tables, ("fct_unit_costs_daily",)), "fct_unit_costs_daily")
    found = {row["token_class"]: (row["full_cost_rc"], row["class_weight_method"]) for row in rows}
    assert found["input_uncached"] == (Decimal("30.00"), "token_count")
    assert found["output"] == (Decimal("10.00"), "token_count")


def test_a_throughput_that_no_day_could_hold_leaves_every_token_alike_and_the_build_whole(cache: Path) -> None:
    """B12: a token a fortnight, by a slip of the keyboard: a day's work of 10^22 ns is split by tokens, exactly."""
    slow = {name: Decimal("0.000001") for name in ("prefill_tokens_per_second", "decode_tokens_per_second")}
    tables = {
        SAMPLES: watched(0, 1),
        SCRAPES: [scrape(at(0.25), 900_000, 0, 0), scrape(at(0.5), 900_000, 30_000_000, 10_000_000)],
        INVOICE_LINES: [invoice_line("40.00", quantity="1", period_end=f"{DAY}T01:00:00Z")],
        "config_deployment_hosts": [{"deployment_id": "chat", "host": "host-1"}],
        **SERVED,
        "config_deployments": [deployment(**slow, cached_tokens_per_second=Decimal(1))],
    }
    built = build_tables(cache, tables, ("fct_unit_costs_daily", *GPU_CHECKS))
    assert broken_laws(built) == []
    found = {
        row["token_class"]: (row["full_cost_rc"], row["class_weight_method"])
        for row in rows_of(built, "fct_unit_costs_daily")
    }
    assert found["input_uncached"] == (Decimal("30.00"), "token_count")
    assert found["output"] == (Decimal("10.00"), "token_count")


def test_an_api_price_is_the_ratio_of_sums_over_what_was_billed_and_metered(cache: Path) -> None:
    """Two cells of 1M at $3 and 9M at $1: $1.20, not the mean of $3 and $1; a bill without tokens adds none. B30."""
    cell = {"usage_date": DAY, "provider": "anthropic", "model": "m", "token_class": "output", "charge_kind": "tokens"}

    def billed(tokens: int | None, amount: str | None) -> Row:
        money = Decimal(amount) if amount else None
        return {**cell, "tokens": tokens, "billed_cost": money, "billed_cost_rc": money}

    tables = {API_COSTS: [billed(1_000_000, "3"), billed(9_000_000, "9"), billed(None, "5"), billed(7_000_000, None)]}
    rows = rows_of(build_tables(cache, tables, ("fct_unit_costs_daily",)), "fct_unit_costs_daily")
    assert [(row["token_class"], row["tokens"], row["full_rc_per_mtok"]) for row in rows] == [
        ("blended", 10_000_000, 1.2),
        ("output", 10_000_000, 1.2),
    ]


@pytest.mark.parametrize(
    ("model", "old", "new", "law"),
    [
        ("stg_gpu_bills__lines", "cast(amount as decimal(38, 18))", "cast(amount as decimal(38, 0))", "gpu_money"),
        ("stg_gpu_bills__lines", "from timed", "from timed where charge_kind = 'gpu_instance'", "gpu_money"),
        (
            "stg_gpu_bills__lines",
            "select * from final",
            "select * from final union all select * from final",
            "gpu_money",
        ),
        ("stg_owned_gpus__charges", "sum(cast(amount", "max(cast(amount", "gpu_money"),
        ("int_gpu_charges_daily", "quanta_rank <= leftover_quanta", "false", "gpu_money_is_conserved"),
        ("int_gpu_costs_daily", "<= quanta - sum(floor_quanta)", "< quanta - sum(floor_quanta)", "gpu_money"),
        ("int_gpu_states_daily", "unseen_ms - unseen.not_present_ms", "unseen_ms + 1", "gpu_time_is_conserved"),
        ("fct_unit_costs_daily", "<= full_quanta - sum", "< full_quanta - sum", "unit_cost_needs_tokens"),
        ("fct_unit_costs_daily", "case when tokens > 0 then cast(full", "case when true then cast(full", "unit_cost"),
        (
            "int_gpu_states_hourly",
            "state_ms - taken_ms as told_ms",
            "state_ms + 1 as told_ms",
            "gpu_shares_fit_the_gpu",
        ),
        ("int_gpu_shares_interval", "then serving_ms", "then whole_ms * engine_count", "gpu_shares_fit_the_gpu"),
    ],
)
def test_a_planted_fault_breaks_its_law(cache: Path, model: str, old: str, new: str, law: str) -> None:
    """Every check can fail."""
    tables = {
        SAMPLES: watched(0, 7),
        SCRAPES: [
            *serving(0, 7, model_name="llama"),
            *serving(0, 7, target="other", model_name="other", prompt_tokens=0, generation_tokens=0),
        ],
        INVOICE_LINES: [
            invoice_line("100.00", days=3, quantity="70"),
            invoice_line("7.50", days=9, line_number=2, charge_kind="storage", resource_id=None),
        ],
        OWNED: [owned_charge("power", "3.10"), owned_charge("power", "0.40")],
        "config_deployments": [deployment(), deployment(deployment_id="quiet")],
        "config_deployment_served_names": [
            {"deployment_id": "chat", "served_name": "llama"},
            {"deployment_id": "quiet", "served_name": "other"},
        ],
    }
    if "fct_unit" in model and "tokens > 0" in old:
        new = "case when true then 1 + 0 * cast(full"
    assert broken_laws(build_tables(cache, tables, GPU_CHECKS)) == []
    built = build_tables(cache, tables, GPU_CHECKS, replaced=[broken(model, old, new)])
    assert any(found.startswith(law) for found in broken_laws(built))


def test_a_restated_line_changes_only_its_own_days(cache: Path, tmp_path: Path) -> None:
    """Rebuilding after a change gives what a build from nothing gives. B11, B29."""
    before = {INVOICE_LINES: [invoice_line("98.32", days=2)], SAMPLES: watched(0, 24)}
    after = {**before, INVOICE_LINES: [invoice_line("92.40", days=2)]}
    build_tables(tmp_path / "warm", before, ("fct_gpu_costs_daily",))
    warm = build_tables(tmp_path / "warm", after, ("fct_gpu_costs_daily",))
    cold = build_tables(tmp_path / "cold", after, ("fct_gpu_costs_daily",))
    assert rows_of(warm, "fct_gpu_costs_daily") == rows_of(cold, "fct_gpu_costs_daily")
    assert "stg_nvml_spool__gpu_hours" not in warm.ran
