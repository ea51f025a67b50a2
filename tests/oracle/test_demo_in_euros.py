"""The demo company reporting in EUR: its bills keep their currencies, every figure is in euros, at each day's rate.

The oracle reads the same rates a second time. With one rate for all days, the verdicts are those of the demo in USD.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from click.testing import CliRunner

from pipeline.alerts.told import PRINTED
from pipeline.build.publish import publish
from pipeline.cli import group
from pipeline.cli.run import bring_up_to_date
from pipeline.decisions.graph import current_snapshot
from pipeline.demo import AS_OF
from pipeline.explain.evidence import Evidence
from pipeline.explain.verdicts import explain_verdict
from pipeline.landing.project import Project
from pipeline.paths import models_root
from pipeline.reports.monthly import write_report
from pipeline.sources import SOURCES
from tests.oracle.compare import differences
from tests.oracle.figures import figures
from tests.oracle.test_demo_against_oracle import DECISIONS, DERIVED

Rows = list[dict[str, Any]]

FIRST_RATE = date(2026, 9, 21)
CONSTANT = Decimal("1.25")
# With rates until Friday 30 October, the first day without one.
CONSTANT_UNTIL, UNRATED = date(2026, 10, 30), date(2026, 11, 7)
MONEY = re.compile(r"_rc(_|$)")
SAVING = "saving_rc_per_month"
# One of its two GPUs is billed in euros: where one rate stands for all days, its cost in dollars is another.
IN_TWO_CURRENCIES = "ticket-triage"


def _constant_rates() -> str:
    """Working days, newest first, as the ECB's history spells them. 12 October has none, as on a holiday."""
    days = [FIRST_RATE + timedelta(days=offset) for offset in range((CONSTANT_UNTIL - FIRST_RATE).days + 1)]
    rows = [f"{day},{CONSTANT},N/A," for day in days if day.weekday() < 5 and day != date(2026, 10, 12)]
    return "\n".join(["Date,USD,GBP,", *reversed(rows)]) + "\n"


@dataclass(frozen=True)
class Demo:
    folder: Path

    @property
    def project(self) -> Project:
        return Project(self.folder)

    def rows(self, table: str) -> Rows:
        warehouse = self.project.paths.published / "warehouse.duckdb"
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            found = connection.execute(f"select * from {table} order by all")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def said(self, *command: str) -> str:
        result = CliRunner().invoke(group, [*command, "--project", str(self.folder)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        return result.output


def _reporting(demo_folder: Path, folder: Path, *, rates: str | None = None) -> Demo:
    """The same deliveries under a configuration that says another reporting currency; with other rates, where given."""
    shutil.copytree(demo_folder, folder, ignore=shutil.ignore_patterns("dagster", "published", "reports", "catalog"))
    for forgotten in ("events", "claims"):
        shutil.rmtree(folder / ".breakeven" / "landing" / forgotten, ignore_errors=True)
    if rates is not None:
        _replace_rates(folder, rates)
    _configure(folder, "EUR")
    bring_up_to_date(Project(folder), now=AS_OF, days=1)
    return Demo(folder)


def _replace_rates(folder: Path, rates: str) -> None:
    """As if the demo's own feed had never been landed."""
    for manifest in (folder / ".breakeven" / "landing" / "deliveries").glob("*/*.json"):
        if json.loads(manifest.read_bytes())["source"] == "ecb_rates":
            manifest.unlink()
    (own,) = (folder / "inbox" / "ecb_rates" / "ecb").iterdir()
    own.unlink()
    own.with_name("eurofxref-hist.csv").write_text(rates)


def _configure(folder: Path, currency: str) -> None:
    path = folder / "breakeven.yaml"
    path.write_text(re.sub(r"reporting_currency: \w+", f"reporting_currency: {currency}", path.read_text()))


@pytest.fixture(scope="module")
def dollars(demo_folder: Path) -> Demo:
    return Demo(demo_folder)


@pytest.fixture(scope="module")
def euros(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("euros") / "demo"
    yield _reporting(demo_folder, folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def constant(demo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("constant") / "demo"
    yield _reporting(demo_folder, folder, rates=_constant_rates())
    shutil.rmtree(folder)


def _grain(table: str) -> tuple[str, ...]:
    if table in DECISIONS:
        return DECISIONS[table]
    return tuple(yaml.safe_load((models_root() / "marts" / f"{table}.yml").read_text(encoding="utf-8"))["grain"])


def _changed(before: Demo, after: Demo, table: str) -> list[str]:
    """Columns that differ between two projects' rows of a table, row by row of its grain."""
    keys = _grain(table)
    left = {tuple(row[name] for name in keys): row for row in before.rows(table)}
    right = {tuple(row[name] for name in keys): row for row in after.rows(table)}
    assert left.keys() == right.keys()
    return sorted({name for key, row in left.items() for name in row if row[name] != right[key][name]})


def test_every_figure_in_euros_is_the_second_routes(euros: Demo) -> None:
    """B6, B23: bills in USD and EUR, contract rates, overheads and list prices, each at the rate of its own day."""
    oracle = figures(euros.project.paths.root, as_of=AS_OF)
    for table, rows in oracle.tables.items():
        found = differences(
            published=euros.rows(table),
            expected={key: _without_savings(row) for key, row in rows.items()},
            grain=_grain(table),
            is_derived=table in DERIVED,
        )
        assert not found, f"{table}:\n  " + "\n  ".join(found)
    savings = {(row["usage_date"], row["workload"]): row[SAVING] for row in euros.rows("fct_verdicts_daily")}
    for key, row in oracle.tables["fct_verdicts_daily"].items():
        assert (savings[key] is None) == (row.get(SAVING) is None)
        assert savings[key] is None or abs(Fraction(savings[key]) - row[SAVING]) <= Fraction(1, 10**12)


def _without_savings(row: dict[str, Any]) -> dict[str, Any]:
    """A saving is a difference: of one that is nothing, what the rounding of its parts leaves is all there is."""
    return {name: value for name, value in row.items() if name != SAVING}


def test_nothing_is_left_unconverted_and_every_law_holds(euros: Demo) -> None:
    for table, own, currencies in (
        ("fct_api_costs_daily", "billed_cost", {"USD"}),
        ("fct_gpu_costs_daily", "realized_cost", {"USD", "EUR"}),
        ("fct_cloud_charges_daily", "effective_cost", {"USD"}),
    ):
        rows = [row for row in euros.rows(table) if row[own] is not None]
        assert {row["billing_currency"] for row in rows} == currencies
        assert all(row[f"{own}_rc"] is not None for row in rows)
        assert all(
            (row[f"{own}_rc"] == row[own]) == (row["billing_currency"] == "EUR") for row in rows if abs(row[own]) > 0
        )
    assert "unconverted" not in {row["price_status"] for row in euros.rows("fct_api_costs_daily")}
    assert euros.rows("check_conversion_is_exact") == []
    assert "LAW BROKEN" not in euros.said("status")


def test_only_money_in_the_reporting_currency_and_what_follows_from_it_changes(dollars: Demo, euros: Demo) -> None:
    """B23: no token, hour or billed amount does."""
    for table in (
        "fct_api_costs_daily",
        "fct_cloud_charges_daily",
        "fct_gpu_costs_daily",
        "fct_unit_costs_daily",
        "fct_demand_daily",
    ):
        assert all(MONEY.search(column) for column in _changed(dollars, euros, table)), table


def _without_budgets(said: str, project: Project) -> str:
    """Without the amounts of budgets that are declared in dollars: a budget is named by what was agreed."""
    for budget in project.config.budgets:
        if budget.currency == "USD":
            said = said.replace(f"${budget.monthly:,.2f}", "")
    return said


@pytest.mark.parametrize("command", ["costs", "waste", "verdict", "status"])
def test_what_is_printed_says_euros(euros: Demo, command: str) -> None:
    """B23: a label is the unit of its figure. A control is compared in the currency of its bill."""
    printed = _without_budgets(euros.said(command), euros.project)
    said, controls, in_dollars = printed.partition("Controls beside the book of record")
    assert "$" not in said
    assert ("$" in in_dollars) == bool(controls) == (command == "status")
    assert command == "status" or "rc is EUR" in said


def test_messages_summary_and_report_are_in_euros(euros: Demo, capsys: pytest.CaptureFixture[str]) -> None:
    """B23"""
    from pipeline.cli.summary import print_answers, print_told, told_by_snapshot

    messages = [str(event.body["plain"]) for event in euros.project.landing.events(PRINTED)]
    assert messages
    assert all("€" in message and "$" not in message for message in messages)
    snapshot = current_snapshot(euros.project)
    print_answers(euros.project, snapshot)
    print_told(euros.project, told_by_snapshot(euros.project, snapshot, landed=None), before=())
    summary = capsys.readouterr().out
    assert "€" in summary
    assert "full €/1M" in summary
    assert "$" not in summary
    report = write_report(euros.project, current_snapshot(euros.project), month="2026-10", now=AS_OF).read_text(
        encoding="utf-8"
    )
    shown = re.sub(r"<(style|script).*?</\1>", "", _without_budgets(report, euros.project), flags=re.DOTALL)
    assert "€" in shown
    assert "Money in EUR" in shown
    controls = re.compile(r'<section id="(?:controls|commitments)".*?</section>', flags=re.DOTALL)
    in_dollars = controls.findall(shown)
    assert len(in_dollars) == 2, "a control is compared, and a commitment unused, in the currency of its bill"
    assert all("$" in section for section in in_dollars)
    assert "$" not in controls.sub("", shown)


def test_a_verdict_in_euros_is_explained_to_the_last_digit(euros: Demo) -> None:
    project, datasets = euros.project, [dataset for source in SOURCES for dataset in source.datasets]
    with Evidence(
        current_snapshot(project), landing=project.landing, datasets=datasets, cache=project.paths.cache
    ) as evidence:
        for workload in ("support-chat", "internal-search", "document-batch", IN_TWO_CURRENCIES):
            explanation = explain_verdict(evidence, workload=workload)
            assert explanation.equalities
            assert [one for one in explanation.equalities if not one.holds] == [], workload


def test_with_one_rate_for_all_days_every_verdict_is_the_one_in_dollars(dollars: Demo, constant: Demo) -> None:
    """B23: a reporting currency is how money is shown. Amounts differ by the rate, decisions not at all."""
    compared = 0
    in_dollars = {(row["usage_date"], row["workload"]): row for row in dollars.rows("fct_verdicts_daily")}
    for row in constant.rows("fct_verdicts_daily"):
        if row["usage_date"] >= UNRATED or row["workload"] == IN_TWO_CURRENCIES:
            continue
        for name, value in row.items():
            other = in_dollars[row["usage_date"], row["workload"]][name]
            if name == "reason":
                continue
            if MONEY.search(name) and value is not None:
                # Each day's cost was rounded to 10^-18 on its own.
                difference = abs(Fraction(value) * Fraction(CONSTANT) - Fraction(other))
                assert difference <= Fraction(abs(other)) / 10**14 + Fraction(1, 10**12), name
                compared += 1
            elif isinstance(value, float):
                assert value == pytest.approx(other, rel=1e-12), name
            else:
                assert value == other, (name, row["usage_date"], row["workload"])
    assert compared > 100
    assert _sides(constant) == _sides(dollars)


def _sides(demo: Demo) -> Rows:
    """Alert states of the days with a rate. A reason names the ratio: another one where costs are of two currencies."""
    rows = [row for row in demo.rows("fct_alert_states_daily") if row["usage_date"] < UNRATED]
    return [row | {"reason": ""} if row["workload"] == IN_TWO_CURRENCIES else row for row in rows]


def test_once_rates_end_verdicts_say_which_currency_lacks_one_and_since_when(constant: Demo) -> None:
    """B4, B11, B23: from the eighth day after the last rate nothing is converted, and nothing is decided on a part."""
    rows = [row for row in constant.rows("fct_verdicts_daily") if row["usage_date"] == date(2026, 11, 14)]
    decided = [row for row in rows if row["status"] == "decided"]
    assert decided == []
    for row in rows:
        if row["status"] == "prices_only":
            assert "no rate from USD to EUR since 2026-11-07" in row["reason"], row
    assert [row["status"] for row in rows].count("prices_only") >= 3
    costs = constant.rows("fct_api_costs_daily")
    unrated = [row for row in costs if row["usage_date"] >= UNRATED and row["billed_cost"] is not None]
    assert {(row["billed_cost_rc"], row["price_status"]) for row in unrated} == {(None, "unconverted")}
    assert all(row["billed_cost_rc"] is not None for row in costs if row["usage_date"] < UNRATED and row["billed_cost"])
    assert constant.rows("check_conversion_is_exact") == []


def test_status_and_costs_say_what_is_not_converted_and_what_to_do(constant: Demo) -> None:
    for command in ("status", "costs", "waste"):
        said = " ".join(constant.said(command).split())
        assert "NOT CONVERTED" in said
        assert "7 Nov 2026 to 14 Nov 2026 UTC, not converted to EUR: there is no exchange rate." in said
        assert "The newest rate landed is of 2026-10-30, and a rate serves 7 days." in said
    report = write_report(constant.project, current_snapshot(constant.project), month="2026-11", now=AS_OF).read_text(
        "utf-8"
    )
    assert "Sum in USD, not converted" in report
    assert "The newest rate landed is of 2026-10-30" in report


def test_a_changed_reporting_currency_shows_every_day_in_it(dollars: Demo, euros: Demo, tmp_path: Path) -> None:
    """B6, B23: back in USD each figure is what it was: no day keeps the other currency, no digit was lost to it."""
    folder = tmp_path / "demo"
    shutil.copytree(euros.folder, folder, ignore=shutil.ignore_patterns("dagster", "published", "reports"))
    _configure(folder, "USD")
    later = AS_OF + timedelta(minutes=1)
    project = Project(folder)
    project.land_config(later)
    from pipeline.decisions.graph import build_project

    publish(build_project(project, as_of=later).snapshot, project.paths.published)
    back = Demo(folder)
    for table in (
        "fct_api_costs_daily",
        "fct_cloud_charges_daily",
        "fct_gpu_costs_daily",
        "fct_unit_costs_daily",
        "fct_verdicts_daily",
    ):
        assert _changed(dollars, back, table) == [], table
