"""Controls beside the book of record: one dollar is summed once, what the others say of it is told to the quantum."""

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import SCHEMAS as CONFIG_SCHEMAS
from pipeline.build.relations import FrameRelation
from pipeline.build.runner import Built, Runner
from pipeline.build.sql_models import SqlModel, load_models
from pipeline.cli import group
from pipeline.decisions.graph import shipped_graph
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from pipeline.paths import models_root
from pipeline.reports.monthly import write_report
from tests.models.api_harness import rows_of
from tests.models.cloud_harness import FOCUS, cloud_graph, focus, focus_csv
from tests.models.cloud_harness import line as focus_line
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_NAME,
    COST_API,
    DAYS,
    NOW,
    Answers,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    cost_result,
    source,
    three_days,
)
from tests.sources import cur2
from tests.sources.litellm import GATEWAY, export_csv, gateway, row, window_name

MART = "fct_control_differences_daily"
MONEY = pl.Decimal(38, 18)
CHECKS = ("check_api_book_of_record", "check_api_money_conserved", "check_cloud_book_of_record")
TARGETS = (MART, "fct_api_costs_daily", "fct_cloud_charges_daily", "fct_day_status_daily", "dim_source", *CHECKS)
FIRST = date(2026, 11, 1)

# --- the law, over what bills come to --------------------------------------------------------------------------------

_CHARGE = {
    "usage_date": pl.Date(),
    **dict.fromkeys(("issuer", "account", "source", "dataset", "billing_currency"), pl.String()),
}
SCHEMAS: Mapping[str, Mapping[str, pl.DataType]] = {
    "int_api_charges_daily": {**_CHARGE, "is_book": pl.Boolean(), "model": pl.String(), "billed_cost": MONEY},
    "int_cloud_charges_daily": {**_CHARGE, "is_book": pl.Boolean(), "billed_cost": MONEY},
    "int_gpu_charges_daily": {
        **_CHARGE, "line_number": pl.Int64(), "cost_measure": pl.String(), "realized_cost": MONEY
    },
    "int_estimated_charges_daily": {
        **_CHARGE, "estimating_account": pl.String(), "model": pl.String(), "rated_cost": MONEY
    },
    "landed_coverage": {
        "usage_date": pl.Date(),
        **dict.fromkeys(("source", "account", "dataset"), pl.String()),
        "is_complete": pl.Boolean(),
        "row_count": pl.Int64(),
        "stated_at": pl.Datetime("us"),
    },
    "config_sources": CONFIG_SCHEMAS["config_sources"],
    "config_estimated_bills": CONFIG_SCHEMAS["config_estimated_bills"],
}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """What one export says: day -> its charges (model, currency, amount), and the days stated before they were over."""

    charges: Mapping[int, Sequence[tuple[str | None, str, Decimal]]]
    too_early: frozenset[int] = frozenset()

    def speaks_for(self, day: int) -> bool:
        return day in self.charges and day not in self.too_early

    def total(self, day: int, currency: str) -> Decimal:
        return sum((amount for _, said, amount in self.charges.get(day, ()) if said == currency), Decimal(0))

    def currencies(self, day: int) -> set[str]:
        return {currency for _, currency, _ in self.charges.get(day, ())}


amounts = st.decimals(-(10**6), 10**6, allow_nan=False, places=18)
days = st.integers(0, 4)
sides = st.builds(
    Side,
    charges=st.dictionaries(
        days,
        st.lists(st.tuples(st.sampled_from(["m", "n", None]), st.sampled_from(["USD", "EUR"]), amounts), max_size=3),
    ),
    too_early=st.frozensets(days, max_size=2),
)


@functools.cache
def _mart() -> tuple[SqlModel, ...]:
    return tuple(model for model in load_models(models_root()) if model.name == MART)


def compared(book: Side, control: Side, *, folder: Path) -> list[dict[str, Any]]:
    """The mart's rows of a bill that two exports state, the first of them being the book."""
    return rows_of(mart_of(book, control, folder=folder), MART)


def mart_of(book: Side, control: Side, *, folder: Path, before: Built | None = None) -> Built:
    """The mart of the same, after another build of it or as the first one."""
    tables: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, side, role in (("one", book, "book"), ("two", control, "control")):
        common = {"source": name, "dataset": "costs", "account": "acme"}
        tables["config_sources"].append({**common, "issuer": "anthropic", "role": role, "measure": "billed"})
        for number, charges in side.charges.items():
            day = FIRST + timedelta(days=number)
            noon = datetime.combine(day, time(12))
            stated_at = noon if number in side.too_early else noon + timedelta(days=1)
            tables["landed_coverage"].append({**common, "usage_date": day, "is_complete": True, "stated_at": stated_at})
            tables["int_api_charges_daily"] += [
                {
                    **common,
                    "usage_date": day,
                    "issuer": "anthropic",
                    "is_book": role == "book",
                    "model": model,
                    "billing_currency": currency,
                    "billed_cost": amount,
                }
                for model, currency, amount in charges
            ]
    relations = {
        name: FrameRelation(
            name=name,
            frame=pl.DataFrame(
                [{column: line.get(column) for column in schema} for line in tables[name]], schema=schema, orient="row"
            ),
            folder=folder,
            date_column="usage_date" if "usage_date" in schema else None,
        )
        for name, schema in SCHEMAS.items()
    }
    nodes = before.nodes if before is not None else {}
    return Runner(models=_mart(), relations=relations, cache=folder, before=nodes, threads=1).build()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@settings(max_examples=25)
@given(book=sides, control=sides)
def test_a_difference_is_control_less_book_over_the_days_and_currencies_that_both_state(
    cache: Path, book: Side, control: Side
) -> None:
    """Laws B9, B22, B23: gaps, empty days, days stated too early, other currencies; every amount is in some row."""
    rows, swapped = compared(book, control, folder=cache), compared(control, book, folder=cache)
    told: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for one in rows:
        told[(one["usage_date"] - FIRST).days, one["billing_currency"]].append(one)
    # Without a day of the control there is no pair to speak of.
    expected = {
        (day, currency)
        for day in range(5)
        for currency in book.currencies(day) | control.currencies(day)
        if control.charges
    }
    assert told.keys() == expected
    for (day, currency), lines in told.items():
        assert sum(one["book_cost"] or 0 for one in lines) == book.total(day, currency)
        assert sum(one["control_cost"] or 0 for one in lines) == control.total(day, currency)
        both = book.speaks_for(day) and control.speaks_for(day)
        alike = all(currency in side.currencies(day) or not side.currencies(day) for side in (book, control))
        if both and alike:
            difference = control.total(day, currency) - book.total(day, currency)
            assert sum(one["difference_cost"] for one in lines) == difference
        else:
            assert [one["difference_cost"] for one in lines] == [None] * len(lines)
            assert {one["status"] for one in lines} <= {"book_only", "control_only", "day_not_over", "other_currency"}
        for one in lines:
            if one["model"] is not None and both and alike:
                assert one["book_cost"] == _of_model(book, day, currency, one["model"])
                assert one["control_cost"] == _of_model(control, day, currency, one["model"])
    if book.charges and control.charges:
        assert sorted(_figures(one, sign=-1) for one in swapped) == sorted(_figures(one, sign=1) for one in rows)


@pytest.mark.parametrize("later", ["book", "control"])
def test_a_day_of_which_only_one_of_two_speaks_says_so_whenever_it_came(tmp_path: Path, later: str) -> None:
    """Who is compared with whom is said by the month, not by a single day of it."""
    charges = [("m", "USD", Decimal(5))]
    one, two = Side({0: charges}), Side({0: charges, 1: charges})
    sides = (two, one) if later == "book" else (one, two)
    first = mart_of(one, one, folder=tmp_path / "daily")
    daily = rows_of(mart_of(*sides, folder=tmp_path / "daily", before=first), MART)
    assert daily == compared(*sides, folder=tmp_path / "anew")
    assert [row["status"] for row in daily] == ["compared", f"{later}_only"]
    assert {row["book_source"] for row in daily} == {"one"}


def _of_model(side: Side, day: int, currency: str, model: str) -> Decimal:
    return sum((cost for name, said, cost in side.charges[day] if (name, said) == (model, currency)), Decimal(0))


def _figures(one: Mapping[str, Any], *, sign: int) -> tuple[Any, ...]:
    """A row as it reads with book and control changed places (sign -1), or as it is."""
    sides = (one["book_cost"], one["control_cost"])[::sign]
    difference = one["difference_cost"]
    return (
        str(one["usage_date"]),
        str(one["model"]),
        one["billing_currency"],
        *map(str, sides),
        "none" if difference is None else str(difference * sign + 0),
    )


# --- from the files --------------------------------------------------------------------------------------------------


def built(project: SmallProject, *, now: datetime = NOW) -> Answers:
    errors = [one.error for one in project.ingest(now=now) if one.error is not None]
    assert errors == []
    assert project.quarantine(now=now) == []
    return project.build(now=now, graph=cloud_graph(TARGETS))


def broken(answers: Answers) -> list[str]:
    return [row["detail"] for check in CHECKS for row in answers.rows(f"select * from {check} order by all")]


def differences(answers: Answers, columns: str = "book_cost, control_cost, difference_cost, status") -> list[Any]:
    rows = answers.rows(f"select usage_date, {columns} from {MART} order by all")
    return [(str(row.pop("usage_date"))[5:], *row.values()) for row in rows]


def beside(folder: Path, *, api: str = "book", console: str = "control") -> SmallProject:
    """The Admin API of three days in fractions of a cent, the Console's CSV of the first two in cents."""
    made = SmallProject(folder, [source(COST_API, "main", role=api), source(CONSOLE, "main", role=console)])
    costs = {day: [cost_result(cents)] for day, cents in zip(DAYS, ("123.4567890123", "200", "300"), strict=True)}
    made.drop(COST_API, "main", "costs-20261104T060000Z.json", api_page(costs))
    rows = [console_row(DAYS[0], "1.23"), console_row(DAYS[1], "2.10")]
    made.drop(CONSOLE, "main", CONSOLE_NAME.replace("11_03", "11_02"), console_csv(rows))
    return made


def test_beside_the_api_the_console_csv_is_a_control(tmp_path: Path) -> None:
    """Class B22, B9: the API's 6.23... is the spend; 1.23 and 2.10 stand beside it; the third day is no difference."""
    answers = built(beside(tmp_path))
    assert answers.api_cost("main") == Decimal("6.234567890123")
    assert differences(answers) == [
        ("11-01", Decimal("1.234567890123"), Decimal("1.23"), Decimal("-0.004567890123"), "compared"),
        ("11-02", Decimal(2), Decimal("2.1"), Decimal("0.1"), "compared"),
        ("11-03", Decimal(3), None, None, "book_only"),
    ]
    assert answers.rows(
        f"select distinct model, book_source, control_source from {MART} where status = 'compared'"
    ) == [{"model": "claude-haiku-4-5", "book_source": COST_API, "control_source": CONSOLE}]
    assert broken(answers) == []


def test_swapped_roles_swap_what_is_summed_and_the_sign(tmp_path: Path) -> None:
    """Class B22: the day that the new book does not state is the control's alone."""
    answers = built(beside(tmp_path, api="control", console="book"))
    assert answers.api_cost("main") == Decimal("3.33")
    assert differences(answers) == [
        ("11-01", Decimal("1.23"), Decimal("1.234567890123"), Decimal("0.004567890123"), "compared"),
        ("11-02", Decimal("2.1"), Decimal(2), Decimal("-0.1"), "compared"),
        ("11-03", None, Decimal(3), None, "control_only"),
    ]
    assert broken(answers) == []


def test_two_books_break_the_law_that_names_both_and_are_still_compared(tmp_path: Path) -> None:
    """Class B22."""
    answers = built(beside(tmp_path, api="book", console="book"))
    assert answers.api_cost("main") == Decimal("6.234567890123")
    (law,) = answers.rows("select detail from check_api_book_of_record")
    assert law["detail"].startswith(f"{CONSOLE} and {COST_API} are both the book of record of issuer anthropic")
    assert "role: control" in law["detail"]
    assert [row[3] for row in differences(answers)] == [Decimal("-0.004567890123"), Decimal("0.1"), None]


@settings(max_examples=3)
@given(
    cents=st.lists(st.decimals(0, 10**6, allow_nan=False, places=10), min_size=3, max_size=3),
    dollars=st.lists(st.decimals(0, 10**4, allow_nan=False, places=2), min_size=1, max_size=3),
)
def test_the_spend_is_the_books_alone_whatever_the_control_states(cents: list[Decimal], dollars: list[Decimal]) -> None:
    """Law of B22, B7: through files, landing and every model of the API's costs."""
    with TemporaryDirectory() as folder:
        made = SmallProject(Path(folder), [source(COST_API, "main"), source(CONSOLE, "main", role="control")])
        page = {day: [cost_result(format(cost, "f"))] for day, cost in zip(DAYS, cents, strict=True)}
        made.drop(COST_API, "main", "costs-20261104T060000Z.json", api_page(page))
        rows = [console_row(day, format(cost, "f")) for day, cost in zip(DAYS, dollars, strict=False)]
        last = DAYS[len(dollars) - 1].replace("-", "_")
        made.drop(CONSOLE, "main", CONSOLE_NAME.replace("2026_11_03", last), console_csv(rows))
        answers = built(made)
        in_dollars = [cost.scaleb(-2) for cost in cents]
        assert answers.api_cost("main") == sum(in_dollars)
        told = answers.one(f"select sum(difference_cost) from {MART}")
        assert told == sum(dollars) - sum(in_dollars[: len(dollars)])
        assert broken(answers) == []


@pytest.mark.parametrize("cur_role", ["book", "control"])
def test_of_cur_and_focus_one_is_summed_and_the_other_shown_beside_it(tmp_path: Path, cur_role: str) -> None:
    """Class B22, B20: 1.25 and a fee of 2 in CUR, 1 and 2 in FOCUS; the tax of the month only one of them has yet."""
    roles = {"aws_cur2": cur_role, FOCUS: "control" if cur_role == "book" else "book"}
    report = {"source": "aws_cur2", "account": "cloudy", "role": cur_role, "settings": {"export": "cur2"}}
    made = SmallProject(tmp_path, [focus(role=roles[FOCUS]), report])
    lines = [cur2.line(1.25), cur2.line(2.0, line_item_usage_start_date="2026-10-05T00:00:00Z"), cur2.tax(0.5)]
    cur2.refresh(cur2.FolderPlace(made.folder / "cur2"), [cur2.parquet(lines)], at=datetime(2026, 11, 3, tzinfo=UTC))
    october = {"BillingPeriodStart": "2026-10-01T00:00:00Z"}
    said = [
        focus_line(**october, ChargePeriodStart="2026-10-02T03:00:00Z", BilledCost="1"),
        focus_line(**october, ChargePeriodStart="2026-10-05T00:00:00Z", BilledCost="2"),
    ]
    made.drop(FOCUS, "cloudy", "focus.csv", focus_csv(said))
    answers = built(made)
    spend = answers.one("select sum(billed_cost) from fct_cloud_charges_daily where is_book")
    cur, other = (Decimal("1.25"), Decimal(2)), (Decimal(1), Decimal(2))
    assert spend == (Decimal("3.75") if cur_role == "book" else 3)
    book, control = (cur, other) if cur_role == "book" else (other, cur)
    tax = (Decimal("0.5"), None) if cur_role == "book" else (None, Decimal("0.5"))
    assert differences(answers) == [
        ("10-01", *tax, None, f"{cur_role}_only"),
        ("10-02", book[0], control[0], control[0] - book[0], "compared"),
        ("10-05", book[1], control[1], Decimal(0), "compared"),
    ]  # fmt: skip
    assert broken(answers) == []


# --- a gateway -------------------------------------------------------------------------------------------------------

THROUGH_THE_GATEWAY = [
    row(DAYS[0], "1.10"),
    row(DAYS[0], "0.05", key="cd" * 32, model="anthropic/claude-sonnet-4-6"),
    row(DAYS[0], "0.30", provider="openai", model="gpt-5-mini"),
    row(DAYS[0], "4.00", provider="ollama", model="llama3"),
    row(DAYS[1], "2.00"),
]
BILLS = {"anthropic": "main", "ollama": None}


def beside_a_gateway(folder: Path, **fields: Any) -> SmallProject:
    """The provider's bill of three days; the gateway's export of two, the second of which may still come again."""
    made = SmallProject(folder, [source(COST_API, "main"), gateway(bills=BILLS, **fields)])
    costs = {day: [cost_result(cents)] for day, cents in zip(DAYS, ("125", "200", "300"), strict=True)}
    made.drop(COST_API, "main", "costs-20261104T060000Z.json", api_page(costs))
    made.drop(GATEWAY, "gateway", window_name(DAYS[0], DAYS[1]), export_csv(THROUGH_THE_GATEWAY[:4]))
    made.drop(GATEWAY, "gateway", window_name(DAYS[1], DAYS[2]), export_csv(THROUGH_THE_GATEWAY[4:]))
    return made


@pytest.mark.parametrize("role", ["book", "control"])
def test_a_gateways_estimate_stands_beside_the_bill_and_is_never_summed(tmp_path: Path, role: str) -> None:
    """Class B22: whatever role is declared; the gateway's 1.15 of a day that was billed 1.25, by model and the rest."""
    answers = built(beside_a_gateway(tmp_path, role=role))
    assert answers.api_cost("main") == Decimal("6.25")
    assert answers.one("select count(*) from fct_api_costs_daily where account != 'main'") == 0
    main = ("anthropic", "main")
    assert differences(answers, "issuer, account, model, book_cost, control_cost, difference_cost, status") == [
        ("11-01", *main, "claude-haiku-4-5", Decimal("1.25"), Decimal("1.1"), Decimal("-0.15"), "compared"),
        ("11-01", *main, None, Decimal(0), Decimal("0.05"), Decimal("0.05"), "compared"),
        ("11-01", "ollama", None, None, None, Decimal(4), None, "billed_elsewhere"),
        ("11-01", "openai", None, None, None, Decimal("0.3"), None, "bill_not_named"),
        ("11-02", *main, "claude-haiku-4-5", Decimal(2), Decimal(2), None, "day_not_over"),
        ("11-03", *main, None, Decimal(3), None, None, "book_only"),
    ]  # fmt: skip
    assert answers.rows(f"select distinct role, is_waited_for from dim_source where source = '{GATEWAY}'") == [
        {"role": "control", "is_waited_for": False}
    ]
    assert answers.rows("select status from fct_day_status_daily where usage_date <= '2026-11-03' group by all") == [
        {"status": "settled"}
    ]
    assert broken(answers) == []


def test_a_window_that_a_gateway_never_exported_is_no_difference(tmp_path: Path) -> None:
    """Class B9: the file of the second day is lost; nobody knows what the gateway thinks of that day's bill."""
    made = SmallProject(tmp_path, [source(COST_API, "main"), gateway(bills=BILLS)])
    costs = {day: [cost_result("200")] for day in DAYS}
    made.drop(COST_API, "main", "costs-20261104T060000Z.json", api_page(costs))
    made.drop(GATEWAY, "gateway", window_name(DAYS[0], DAYS[1]), export_csv([row(DAYS[0], "2.00")]))
    made.drop(GATEWAY, "gateway", window_name(DAYS[2], "2026-11-04"), export_csv([row(DAYS[2], "2.00")]))
    answers = built(made)
    assert differences(answers) == [
        ("11-01", Decimal(2), Decimal(2), Decimal(0), "compared"),
        ("11-02", Decimal(2), None, None, "book_only"),
        ("11-03", Decimal(2), Decimal(2), None, "day_not_over"),
    ]


def test_a_corrected_mapping_needs_no_file_again(tmp_path: Path) -> None:
    """Class B22: whose bill it is stands in breakeven.yaml, not in what was landed."""
    made = beside_a_gateway(tmp_path)
    built(made)
    sources = [
        *made.sources[:1],
        gateway(bills={"anthropic": None, "openai": {"issuer": "anthropic", "account": "main"}}),
    ]
    made.configure(sources=sources)
    (before, after) = made.ingest(now=NOW + timedelta(hours=1))
    assert (before.deliveries, after.deliveries) == ((), ())
    answers = made.build(now=NOW + timedelta(hours=1), graph=cloud_graph(TARGETS))
    compared_days = answers.rows(f"select control_cost, difference_cost from {MART} where status = 'compared'")
    assert compared_days == [{"control_cost": Decimal("0.3"), "difference_cost": Decimal("-0.95")}]


@pytest.mark.parametrize("name", [MART, "int_estimated_charges_daily", "stg_litellm_focus__estimates_daily"])
def test_a_table_is_what_it_describes_with_one_row_per_grain(name: str, told: tuple[SmallProject, Answers]) -> None:
    """Class B12."""
    (file,) = models_root().rglob(f"{name}.yml")
    about = yaml.safe_load(file.read_text(encoding="utf-8"))
    answers = told[1]
    assert answers.result.snapshot.nodes[name].columns == tuple(
        (column, said["type"]) for column, said in about["columns"].items()
    )
    rows = answers.rows(f"select * from {name}")
    assert rows
    assert len({tuple(one[column] for column in about["grain"]) for one in rows}) == len(rows)
    never_null = set(about["grain"]) - set(about["nullable_grain"])
    assert all(one[column] is not None for one in rows for column in never_null)


# --- where people read it --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallProject, Answers]:
    """A Console CSV and a gateway beside the API, through the whole graph."""
    made = beside_a_gateway(tmp_path_factory.mktemp("told"))
    made.configure(sources=[*made.sources, source(CONSOLE, "main", role="control")])
    (made.folder / "inbox" / CONSOLE / "main").mkdir(parents=True)
    made.drop(CONSOLE, "main", CONSOLE_NAME, three_days("1.25", "2.00", "3.00"))
    return made, made.run()


def test_status_shows_each_control_beside_its_book(told: tuple[SmallProject, Answers]) -> None:
    """Class B22."""
    made, _ = told
    result = CliRunner().invoke(group, ["status", "--project", str(made.folder), "--from", "2026-11-01"])
    said = " ".join(result.output.split())
    assert "Controls beside the book of record, never summed" in said
    assert "rated" in said
    assert "−8.0%" in said.replace("-8.0%", "−8.0%")
    assert "settings.bills" in said


def test_the_monthly_report_names_the_controls_that_differ(told: tuple[SmallProject, Answers]) -> None:
    """Class B22."""
    made, answers = told
    text = write_report(made.project, answers.result.snapshot, month="2026-11", now=NOW).read_text(encoding="utf-8")
    assert "Of 2 controls compared, 1 differs from the book: litellm_focus of gateway states $0.10 less" in text
    assert "claude-haiku-4-5" in text


def test_an_explanation_names_what_controls_say_of_the_same_days(told: tuple[SmallProject, Answers]) -> None:
    """Class B22."""
    made, answers = told
    project = made.project
    with Evidence(
        answers.result.snapshot, landing=project.landing, datasets=shipped_graph().datasets, cache=project.paths.cache
    ) as evidence:
        explanation = explain_cost(evidence, CostFigure(from_date=FIRST, to_date=FIRST + timedelta(days=3)))
    assert explanation.holds
    said = [line for line in explanation.outside_check if "a control" in line]
    assert said == [
        f"{CONSOLE} of main, a control (billed, never summed), all of main on the 3 of these days that both state "
        "whole: 6.25 USD beside the book's 6.25 USD, no difference.",
        f"{GATEWAY} of gateway, a control (rated, never summed), all of main on the 1 of these days that both state "
        "whole: 1.15 USD beside the book's 1.25 USD, 0.10 USD less.",
    ]
