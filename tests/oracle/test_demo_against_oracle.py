"""The demo's published figures, recomputed from landing by a second route, and both held against what is true of it.

The oracle (plain Python, fractions, no code of the pipeline) reads the same landing as the build did. Rows are compared
in both directions; money, integers, dates and texts exactly.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipeline.decisions.graph import current_snapshot
from pipeline.demo import AS_OF, InvoiceTotal, Truth
from pipeline.landing.project import Project
from pipeline.paths import models_root
from pipeline.reports.questions import Questions
from tests.oracle import openai
from tests.oracle.compare import differences
from tests.oracle.figures import Figures, figures

DAY_MS = 86_400_000

# Tables of decisions have no model file that states their grain.
DECISIONS = {
    "fct_verdicts_daily": ("usage_date", "workload"),
    "fct_alert_states_daily": ("usage_date", "workload"),
    "fct_token_class_weights_daily": ("usage_date", "deployment_id", "token_class"),
    "fct_gpu_waste_daily": (
        "usage_date",
        "issuer",
        "account",
        "deployment_id",
        "line",
        "cost_measure",
        "billing_currency",
    ),
    "fct_scale_downs_daily": ("usage_date", "deployment_id"),
    "fct_commitment_scopes_daily": ("usage_date", "commitment", "workload"),
    "fct_idle_fill_daily": ("usage_date", "deployment_id", "workload"),
    "fct_peak_allowances_daily": ("usage_date", "workload"),
}
# Whose decimals are quotients and plans, not money on a ledger.
DERIVED = {"fct_verdicts_daily", "fct_scale_downs_daily", "fct_idle_fill_daily"}
MARTS = sorted(path.stem for path in (models_root() / "marts").glob("*.sql"))
# A price book read elsewhere, and sentences, are no figures of the demo; intervals, forecasts and names of models have
# second routes of their own, in tests/decisions; so have plans, budgets, anomalies and owners.
NOT_FIGURES = {
    "api_prices", "list_prices", "snapshot", "fct_anomalies_daily", "fct_budgets_monthly", "fct_demand_forecasts_daily",
    "fct_deployment_plans_daily", "fct_invoices_monthly", "fct_adapter_tokens_daily", "fct_owner_costs_daily",
    "fct_cloud_model_costs_daily", "fct_driver_costs_period",
    "fct_per_use_costs_daily",
    "fct_model_matches_daily", "fct_prepaid_balances_daily", "fct_rental_plans_daily", "fct_tuned_models_daily",
    "fct_verdict_intervals_daily",
}  # fmt: skip
SENTENCES = {"reason"}

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Demo:
    truth: Truth = field(repr=False)
    warehouse: Path
    oracle: Figures = field(repr=False)

    def rows(self, table: str) -> Rows:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            found = connection.execute(f"select * from {table}")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def tables(self) -> set[str]:
        with duckdb.connect(str(self.warehouse), read_only=True) as connection:
            return {name for (name,) in connection.execute("show tables").fetchall()}


@pytest.fixture(scope="module")
def demo(demo_folder: Path, demo_truth: Truth) -> Demo:
    """The demo as it was built; then recomputed once."""
    state = Project(demo_folder).paths
    oracle = figures(state.root, as_of=AS_OF)
    return Demo(truth=demo_truth, warehouse=state.published / "warehouse.duckdb", oracle=oracle)


def _grain(table: str) -> tuple[str, ...]:
    if table in DECISIONS:
        return DECISIONS[table]
    return tuple(yaml.safe_load((models_root() / "marts" / f"{table}.yml").read_text(encoding="utf-8"))["grain"])


@pytest.mark.parametrize("table", [*MARTS, *DECISIONS])
def test_every_published_row_is_the_second_routes_row(demo: Demo, table: str) -> None:
    """B1, B7, B9, B10, B12, B13, B15, B22, B24, B25, B30, as far as the demo meets them: each would change a row."""
    found = differences(
        published=demo.rows(table),
        expected=demo.oracle.tables[table],
        grain=_grain(table),
        is_derived=table in DERIVED,
    )
    assert not found, f"{table}:\n  " + "\n  ".join(found)


def test_no_published_table_is_left_out(demo: Demo) -> None:
    checks = {name for name in demo.tables() if name.startswith("check_")}
    assert demo.tables() - checks - NOT_FIGURES == demo.oracle.tables.keys() == {*MARTS, *DECISIONS}


@pytest.mark.parametrize("table", [*MARTS, *DECISIONS])
def test_every_published_column_is_compared(demo: Demo, table: str) -> None:
    if not demo.rows(table):
        assert not demo.oracle.tables[table]
        return
    stated = {name for row in demo.oracle.tables[table].values() for name in row}
    published = {name for row in demo.rows(table) for name in row}
    assert published - stated - SENTENCES == set(_grain(table))


# --- what is true by construction ------------------------------------------------------------------------------------


def _sum(pairs: Iterator[tuple[tuple[Any, ...], Any]]) -> dict[tuple[Any, ...], Any]:
    sums: dict[tuple[Any, ...], Any] = defaultdict(int)
    for key, value in pairs:
        sums[key] += value
    return {key: value for key, value in sums.items() if value}


def test_api_tokens_are_those_that_were_used(demo: Demo) -> None:
    published = _sum(
        ((row["usage_date"], row["workload"], row["model"], row["token_class"], row["service_tier"]), row["tokens"])
        for row in demo.rows("fct_api_costs_daily")
        if row["tokens"] is not None
    )
    true = _sum(
        ((total.usage_date, total.workload, total.model, total.token_class, total.service_tier), total.tokens)
        for total in demo.truth.tokens
        if total.lane == "api"
    )
    assert published == true


def test_served_tokens_are_those_that_were_served(demo: Demo) -> None:
    published = _sum(
        ((row["usage_date"], row["deployment_id"], row["workload"], row["token_class"]), row["tokens"])
        for row in demo.rows("fct_self_host_tokens_daily")
    )
    true = _sum(
        ((total.usage_date, total.deployment, total.workload, total.token_class), total.tokens)
        for total in demo.truth.tokens
        if total.lane == "self_host"
    )
    assert published == true


def test_billed_days_are_those_of_the_bills(demo: Demo) -> None:
    """B10: the day that was restated counts once, as last stated."""
    published = _sum(
        ((row["usage_date"], row["account"], "billed"), Fraction(row["billed_cost"]))
        for row in demo.rows("fct_api_costs_daily")
        if row["billed_cost"] is not None
    ) | _sum(
        ((row["usage_date"], row["account"], "effective"), Fraction(row["realized_cost"]))
        for row in demo.rows("fct_gpu_costs_daily")
        if row["cost_measure"] == "effective" and row["account"] == "demo-basement"
        if row["usage_date"] <= demo.truth.last_day
    )
    published |= _cloud_days(demo, is_book=True)
    true = _sum(((day.usage_date, day.account, day.measure), Fraction(day.amount)) for day in demo.truth.billed_days)
    assert published == true
    for day in demo.truth.superseded_days:
        assert published[day.usage_date, day.account, day.measure] != Fraction(day.amount)


def test_the_dashboards_control_differs_from_the_apis_costs_as_it_must_and_is_summed_nowhere(
    demo: Demo, demo_folder: Path
) -> None:
    """B22: the dashboard's export states the API's money a second time; both routes read of it what the truth says."""
    with Questions(current_snapshot(Project(demo_folder))) as questions:
        stated = questions.select(
            "select usage_date, account, source, is_book, sum(billed_cost) as cost "
            "from int_api_charges_daily group by all",
            {},
        ).to_dicts()
    read = {(row["usage_date"], row["account"], row["source"], row["is_book"]): Fraction(row["cost"]) for row in stated}
    told = demo.truth.control_days
    assert {key: cost for key, cost in read.items() if not key[3]} == {
        (day.usage_date, day.account, day.source, False): Fraction(day.control_amount) for day in told
    }
    assert openai.control_days(demo.oracle.project) == {
        (day.account, day.usage_date): Fraction(day.control_amount) * 10**18 for day in told
    }
    for day in told:
        book = read[day.usage_date, day.account, day.book_source, True]
        assert Fraction(day.control_amount) - book == Fraction(day.difference)
    assert [day.usage_date for day in told if abs(Fraction(day.difference)) > Fraction(1, 100)] == [date(2026, 10, 30)]
    assert {row["source"] for row in demo.rows("fct_api_costs_daily")}.isdisjoint(day.source for day in told)


def _cloud_days(demo: Demo, *, is_book: bool) -> dict[tuple[Any, ...], Any]:
    """(day, account, measure) -> what the cloud bills say, of those that are summed or of the controls."""
    return _sum(
        ((row["usage_date"], row["account"], measure), Fraction(row[f"{measure}_cost"]))
        for row in demo.rows("fct_cloud_charges_daily")
        if row["is_book"] == is_book
        for measure in ("billed", "effective")
    )


def test_a_control_beside_the_book_differs_by_what_came_late_and_is_summed_nowhere(demo: Demo) -> None:
    """B22: the FOCUS file of the account that the CUR is the book of."""
    book, control = (_cloud_days(demo, is_book=is_book) for is_book in (True, False))
    for difference in demo.truth.control_differences:
        for measure in ("billed", "effective"):
            apart = _sum(
                ((key[0].strftime("%Y-%m"),), book.get(key, 0) - control.get(key, 0))
                for key in book.keys() | control.keys()
                if key[1:] == (difference.account, measure)
            )
            assert apart == {(difference.billing_period,): Fraction(difference.book_minus_control)}
    assert {row["source"] for row in demo.rows("fct_cloud_charges_daily") if not row["is_book"]} == {"focus"}


def test_a_cloud_gpu_costs_what_its_instance_was_billed_or_used_of_the_plan(demo: Demo) -> None:
    """B15, B20: 24 hours a day, counted once, though its EBS option is metered in hours too."""
    accounts = {day.account for day in demo.truth.gpu_days}
    rows = [
        row
        for row in demo.rows("fct_gpu_costs_daily")
        if row["account"] in accounts and row["gpu_milliseconds"] is not None
    ]
    published = {
        measure: _sum(((row["usage_date"], row["resource_id"], row["cost_measure"]), row[measure]) for row in rows)
        for measure in ("realized_cost", "gpu_milliseconds")
    }
    keys = [(day.usage_date, day.resource_id, day.measure) for day in demo.truth.gpu_days]
    amounts = [Decimal(day.amount) for day in demo.truth.gpu_days]
    hours = [Decimal(day.gpu_hours) * 3_600_000 for day in demo.truth.gpu_days]
    assert published["realized_cost"] == dict(zip(keys, amounts, strict=True))
    assert published["gpu_milliseconds"] == dict(zip(keys, hours, strict=True))


def test_an_invoice_in_euros_is_reported_at_each_days_rate(demo: Demo) -> None:
    """B23: a weekend has Friday's. Nothing but its own invoice and agreement is in euros."""
    rates = {rate.rate_date: Fraction(rate.per_euro) for rate in demo.truth.rates if rate.currency == "USD"}
    rows = [row for row in demo.rows("fct_gpu_costs_daily") if row["billing_currency"] == "EUR"]
    assert {(row["account"], row["cost_measure"]) for row in rows} == {
        ("demo-nord-gpu", "billed"),
        ("demo-nord-gpu", "accrued"),
    }
    for row in rows:
        newest = max(day for day in rates if day <= row["usage_date"])
        exact = Fraction(row["realized_cost"]) * rates[newest]
        assert abs(Fraction(row["realized_cost_rc"]) - exact) <= Fraction(1, 2 * 10**18)
    assert any(row["usage_date"].weekday() >= 5 for row in rows)


def _invoice(demo: Demo, account: str) -> InvoiceTotal:
    (invoice,) = [one for one in demo.truth.invoices if one.account == account]
    return invoice


def test_a_cloud_invoice_is_the_sum_of_the_lines_that_name_it(demo: Demo) -> None:
    """B7: it states no total; what of it is a GPU resource stands apart."""
    invoice = _invoice(demo, "demo-aws")
    resources = {day.resource_id for day in demo.truth.gpu_days}
    (row,) = [row for row in demo.rows("fct_reconciliation_invoice") if row["account"] == invoice.account]
    assert (row["invoice_id"], row["status"], row["payable_cost"]) == (invoice.invoice_id, "no_control_total", None)
    assert (row["period_start_date"], row["period_end_date"]) == (invoice.period_start, invoice.period_end)
    assert row["lines_cost"] == Decimal(invoice.total)
    assert row["allocated_cost"] == sum(Decimal(one.amount) for one in invoice.lines if one.resource_id in resources)
    assert row["unallocated_cost"] == row["lines_cost"] - row["allocated_cost"]


@pytest.mark.parametrize("account", ["demo-gpu-cloud", "demo-nord-gpu"])
def test_the_invoice_is_spread_without_losing_a_quantum(demo: Demo, account: str) -> None:
    invoice = _invoice(demo, account)
    rows = [
        row for row in demo.rows("fct_gpu_costs_daily") if row["cost_measure"] == "billed" and row["account"] == account
    ]
    assert sum(Fraction(row["realized_cost"]) for row in rows) == Fraction(invoice.total)
    assert {row["usage_date"] for row in rows} == set(_days(invoice.period_start, invoice.period_end))
    for line in invoice.lines:
        own = [row for row in rows if row["resource_id"] == line.resource_id]
        if line.resource_id is not None:
            assert sum(Fraction(row["realized_cost"]) for row in own) == Fraction(line.amount)
            assert sum(row["gpu_milliseconds"] for row in own) == Fraction(line.gpu_hours or 0) * 3_600_000
    (reconciled,) = [row for row in demo.rows("fct_reconciliation_invoice") if row["account"] == account]
    assert (reconciled["status"], reconciled["payable_cost"]) == ("ties", Decimal(invoice.total))


def test_days_without_an_invoice_are_accrued_at_the_agreed_rate(demo: Demo) -> None:
    invoice = _invoice(demo, "demo-gpu-cloud")
    accrued = _sum(
        ((row["usage_date"], row["resource_id"]), Fraction(row["realized_cost"]))
        for row in demo.rows("fct_gpu_costs_daily")
        if row["cost_measure"] == "accrued"
    )
    gpu_day = 24 * Fraction(demo.truth.contract_rate_per_gpu_hour)
    days = _days(invoice.period_end, demo.truth.last_day + timedelta(days=1))
    nodes = {"i-demo-h100-1": 4 * gpu_day, "i-demo-h100-2": 4 * gpu_day, "i-demo-mig-1": gpu_day}
    assert {line.resource_id for line in invoice.lines} - {None} == {*nodes, "i-demo-spot-1", "i-demo-spot-2"}
    nodes["ng-l4-0017"] = 24 * Fraction(demo.truth.contract_euros_per_gpu_hour)
    assert accrued == {(day, node): cost for day in days for node, cost in nodes.items()}


def test_gpu_time_is_in_the_state_it_was_in(demo: Demo) -> None:
    """B15, B18: every GPU, day and state; only the minutes after the agent's gap are less sure than the truth.

    The first scrape after the gap counts tokens since before it, so it proves no serving in its own five minutes.
    """
    published = _sum(
        ((cell.usage_date, cell.place.gpu_uuid, cell.state), milliseconds)
        for cell, milliseconds in demo.oracle.seen.states.items()
    )
    true = _sum(
        ((one.usage_date, one.gpu_uuid, one.state), one.gpu_milliseconds)
        for one in demo.truth.gpu_time
        if one.state != "unobserved"
    )
    gap = next(fault for fault in demo.truth.faults if fault.kind == "agent_gap")
    differing = {key: published.get(key, 0) - true.get(key, 0) for key in published.keys() | true.keys()}
    differing = {key: milliseconds for key, milliseconds in differing.items() if milliseconds}
    assert {(day, state) for day, _, state in differing} <= {
        (gap.from_at.date(), "serving"),
        (gap.from_at.date(), "loaded_idle"),
    }
    assert {abs(milliseconds) for milliseconds in differing.values()} <= {300_000}
    assert sum(differing.values()) == 0


def test_unobserved_time_is_neither_idle_nor_busy(demo: Demo) -> None:
    """B19: what nobody saw is unobserved, and each node's day has all of its paid hours in some state."""
    published = _sum(
        ((row["usage_date"], row["host"]), row["gpu_milliseconds"])
        for row in demo.rows("fct_gpu_costs_daily")
        if row["state"] == "unobserved" and row["usage_date"] <= demo.truth.last_day
    )
    true = _sum(
        ((one.usage_date, one.host), one.gpu_milliseconds) for one in demo.truth.gpu_time if one.state == "unobserved"
    )
    assert published == true
    paid = _sum(
        ((row["usage_date"], row["host"]), row["gpu_milliseconds"])
        for row in demo.rows("fct_gpu_costs_daily")
        if row["gpu_milliseconds"] is not None
    )
    assert {(host, milliseconds // DAY_MS) for (_, host), milliseconds in paid.items()} == {
        ("demo-h100-1", 4),
        ("demo-h100-2", 4),
        ("demo-basement-1", 4),
        ("demo-l4-1", 1),
        ("demo-l4-2", 1),
        ("demo-mig-1", 1),
        ("demo-spot-1", 1),
        ("demo-spot-1", 0),
        ("demo-spot-2", 1),
        ("demo-spot-2", 0),
    }
    in_part = {key: milliseconds / 3_600_000 for key, milliseconds in paid.items() if milliseconds % DAY_MS}
    interrupted = date(2026, 10, 8)
    assert in_part == {(interrupted, "demo-spot-1"): 14, (interrupted, "demo-spot-2"): 9}


def test_all_that_is_billed_was_seen_and_all_that_was_seen_is_billed(demo: Demo) -> None:
    """B20: of every GPU by the id that its host was told, else by the host that is declared; nothing is left over. An
    instance that was taken back is billed up to that hour, and its successor from its own on.
    """
    assert demo.rows("fct_gpu_leftovers_daily") == []
    methods = {
        row["host"]: row["holding_method"] for row in demo.rows("fct_gpu_costs_daily") if row["host"] is not None
    }
    declared = {"demo-basement-1", "demo-l4-2"}
    assert methods == {host: "declared_host" if host in declared else "provider_resource_id" for host in methods}
    assert len(methods) == 8


def test_the_last_verdicts_point_where_they_must(demo: Demo) -> None:
    verdicts = {
        row["workload"]: row for row in demo.rows("fct_verdicts_daily") if row["usage_date"] == demo.truth.last_day
    }
    sides = {
        row["workload"]: row["state"]
        for row in demo.rows("fct_alert_states_daily")
        if row["usage_date"] == demo.truth.last_day
    }
    for expected in demo.truth.verdicts:
        verdict = verdicts[expected.workload]
        if expected.ratio_low is None or expected.ratio_high is None:
            assert (verdict["status"], verdict["demand_ratio"]) == (expected.direction, None)
            continue
        assert sides[expected.workload] == expected.direction
        assert verdict["demand_tokens_per_day"] == pytest.approx(expected.mean_7_day_tokens, rel=1e-6)
        assert float(expected.ratio_low) <= verdict["demand_ratio"] <= float(expected.ratio_high)


def _days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=offset) for offset in range((end - start).days)]
