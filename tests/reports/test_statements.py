"""A statement of each team, and of what nobody owns: together they are the report's own sums."""

import json
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from unittest.mock import patch

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.cli import group
from pipeline.config.file import parse_config
from pipeline.config.ownership import OwnerAlias
from pipeline.decisions.graph import current_snapshot
from pipeline.decisions.owner_costs import SCHEMA
from pipeline.landing.project import Project
from pipeline.paths import sql_root
from pipeline.reports.figures import Written
from pipeline.reports.monthly import month_of, owners_in, page_of, report_page
from pipeline.reports.owners import MEASURES
from pipeline.reports.page import Card, Table, Tiles
from pipeline.reports.questions import Questions
from pipeline.reports.receipts import all_receipted
from pipeline.reports.sections.statement import Owned, sections

from .fake_snapshot import OCTOBER, config, snapshot_of, tables, verdict
from .test_budgets import budget
from .test_owners import charge

SUPPORT = parse_config("""
company: Acme
deployments: [{deployment: llama, model: llama-70b, gpus_per_replica: 1}]
workloads:
  - {workload: chat, team: support, deployment: llama, match: [{account: acme}]}
  - {workload: lab, team: labs, deployment: llama, match: [{account: labs}]}
""")
_TEAMS = ["search", "chat", "old search", "Chat", None]


class Asks:
    """Answers `owner_lines` over these charges, by its own SQL; of all else nothing."""

    def __init__(self, rows):
        self._connection = duckdb.connect()
        kinds = {pl.Date(): "date", pl.String(): "varchar", pl.Int64(): "bigint"}
        columns = ", ".join(f"{name} {kinds.get(kind, 'decimal(38, 18)')}" for name, kind in SCHEMA.items())
        self._connection.execute(f"create table fct_owner_costs_daily ({columns})")
        values = [[row.get(name) for name in SCHEMA] for row in rows]
        if values:
            marks = ", ".join("?" for _ in SCHEMA)
            self._connection.executemany(f"insert into fct_owner_costs_daily values ({marks})", values)

    def ask(self, name, **parameters):
        if name != "owner_lines":
            return pl.DataFrame()
        text = (sql_root() / "reports" / f"{name}.sql").read_text()
        return pl.DataFrame(self._connection.sql(text, params=parameters))


def amounts():
    return st.decimals(min_value=-(10**9), max_value=10**9, places=18) | st.just(Decimal("1e-18"))


charges = st.lists(
    st.builds(
        lambda cost, team, measure, account, key, day, status: charge(
            None if status == "unknown" else str(cost), team, cost_measure=measure, account=account, api_key_id=key,
            usage_date=OCTOBER + timedelta(days=day), lane="api", cost_status=status,
            **({"realized_cost_rc": None, "billing_currency": "EUR"} if status == "unconverted" else {}),
        ),
        amounts(), st.sampled_from(_TEAMS), st.sampled_from(MEASURES), st.sampled_from(["a", "b"]),
        st.sampled_from(["k1", "k2", None]), st.integers(-40, 40),
        st.sampled_from(["known", "known", "known", "unknown", "unconverted"]),
    ),
    max_size=25,
)  # fmt: skip


def statement_of(asks, owned):
    settings = config().model_copy(update={"owner_aliases": (OwnerAlias(team="search", was=("old search",)),)})
    with patch("pipeline.reports.monthly.rate_notes", return_value=[]):
        month = month_of(asks, [], config=settings, first_day=OCTOBER)
    [spend] = sections(owned, until=date(2026, 11, 5))[:1]
    return spend(month)


def sums(section):
    """(measure, column) -> (sum of the total rows, sum of the lines), of what is a number."""
    totals, lines = defaultdict(Decimal), defaultdict(Decimal)
    for table in (block for block in section.blocks if isinstance(block, Table)):
        for row in table.rows:
            for column in (5, 6):
                if isinstance(row.cells[column], Written):
                    (totals if row.kind == "total" else lines)[row.cells[4], column] += row.cells[column].value
    return totals, lines


@settings(max_examples=30)
@given(charges)
@example([charge("1", "search"), charge("2", "old search"), charge("4", None), charge("3", "chat", lane="gpu")])
def test_statements_and_what_nobody_owns_are_the_whole_to_the_last_digit(rows):
    """Of what is known, by measure, this month and the one before; the lines of each are its sums."""
    known = [row for row in rows if row["cost_status"] == "known"]
    # A sum that is not whole is written as words, which have no value.
    if any(row["cost_status"] == "unknown" for row in rows):
        known = rows = [row for row in rows if row["cost_status"] != "unknown"]
    asks = Asks(rows)
    together = defaultdict(Decimal)
    for name in ("search", "chat", "Chat", None):
        # With few lines shown, those that are left stand as one.
        with patch("pipeline.reports.sections.statement.MOST_LINES", 2):
            totals, lines = sums(statement_of(asks, Owned("team", name)))
        assert dict(totals) == dict(lines)
        for key, value in totals.items():
            together[key] += value
    wanted = defaultdict(Decimal)
    for row in known:
        day = row["usage_date"]
        column = {10: 5, 9: 6}.get(day.month)
        if column is not None and row["cost_status"] == "known":
            wanted[row["cost_measure"], column] += row["realized_cost_rc"]
    assert {key: value for key, value in together.items() if value} == {
        key: value for key, value in wanted.items() if value
    }


def test_what_is_not_known_of_a_statement_is_at_least_or_unknown_never_zero():
    rows = [charge("5", "chat"), charge(None, "chat"), charge(None, "chat", cost_measure="accrued")]
    found = statement_of(Asks(rows), Owned("team", "chat"))
    tiles = next(block for block in found.blocks if isinstance(block, Tiles)).tiles
    assert [(tile.title, tile.figure) for tile in tiles] == [("Billed", "at least 5.00"), ("Accrued", "unknown")]
    assert not found.says.startswith("Unknown amount")


def test_what_ended_since_the_month_before_is_a_line_and_a_part_of_a_month_is_compared_with_as_much():
    """On 5 November five days are over: they are beside the first five of October, not beside all of it."""
    rows = [
        charge("5", "chat", usage_date=OCTOBER, lane="api", api_key_id="ended"),
        charge("7", "chat", usage_date=OCTOBER + timedelta(days=20), lane="api", api_key_id="later"),
    ]
    settings = config()
    with patch("pipeline.reports.monthly.rate_notes", return_value=[]):
        month = month_of(Asks(rows), [], config=settings, first_day=date(2026, 11, 1))
    rows.append(charge("1", "chat", usage_date=date(2026, 11, 2), lane="api", api_key_id="new"))
    with patch("pipeline.reports.monthly.rate_notes", return_value=[]):
        month = month_of(Asks(rows), [], config=settings, first_day=date(2026, 11, 1))
    found = sections(Owned("team", "chat"), until=date(2026, 11, 5))[0](month)
    table = next(block for block in found.blocks if isinstance(block, Table))
    assert table.columns[6].title == "Cost, 1 to 4 Oct 2026"
    assert [row.cells[3:] for row in table.rows] == [
        ("ended", "billed", "", "5.00"),
        ("new", "billed", "1.00", ""),
        ("", "billed", "1.00", "5.00"),
    ]


def test_a_teams_statement_has_its_workloads_and_no_others_and_its_receipts_say_whose_it_is(tmp_path):
    owners = [charge("1.50", "support"), charge("2.50", None)]
    verdicts = [verdict(workload="chat"), verdict(workload="lab")]
    filled = {**tables(), "fct_owner_costs_daily": owners, "fct_verdicts_daily": verdicts}
    snapshot = snapshot_of(filled, tmp_path)
    pages = {}
    with patch("pipeline.charts.drawing.as_svg", return_value=""):
        for name in ("support", "nobody's", None):
            owned = Owned("team", name)
            pages[name] = report_page(snapshot, config=SUPPORT, quarantined=(), first_day=OCTOBER, owned=owned)
    blocks = [block for section in pages["support"].sections for block in section.blocks]
    assert [block.title for block in blocks if isinstance(block, Card)] == ["chat"]
    assert [section.anchor for section in pages["support"].sections] == [
        "headline", "verdicts", "recommendations", "budget", "coverage", "laws",
    ]  # fmt: skip
    assert [section.anchor for section in pages[None].sections] == ["headline", "coverage", "laws"]
    assert pages[None].company == "Acme, without a team"
    assert "Nothing was charged to team nobody's" in pages["nobody's"].sections[0].says
    receipts = [{one.receipt for one in all_receipted(page)} for page in pages.values()]
    assert not receipts[0] & receipts[1]
    assert "--team support --as-of" in pages["support"].reproduce


def test_workloads_and_budgets_declared_under_a_name_that_the_team_had_are_in_its_statement(tmp_path):
    filled = {
        "fct_owner_costs_daily": [charge("1", "support")], "fct_verdicts_daily": [verdict(workload="chat")],
        "fct_budgets_monthly": [budget(scope="team", scope_name=name) for name in ("support", "labs")],
    }  # fmt: skip
    snapshot = snapshot_of({**tables(), **filled}, tmp_path)
    renamed = SUPPORT.model_copy(update={"owner_aliases": (OwnerAlias(team="care", was=("support",)),)})
    with patch("pipeline.charts.drawing.as_svg", return_value=""):
        page = report_page(snapshot, config=renamed, quarantined=(), first_day=OCTOBER, owned=Owned("team", "care"))
    said = {section.anchor: section for section in page.sections}
    assert [block.title for block in said["verdicts"].blocks if isinstance(block, Card)] == ["chat"]
    assert said["budget"].says.startswith("Of 1 budget")
    assert "$1.00 billed for team care" in said["headline"].says


# The demo


@pytest.mark.parametrize("by", ["team", "cost_centre"])
def test_the_demos_statements_are_the_reports_table_of_owners(demo_folder, by):
    project = Project(demo_folder)
    snapshot = current_snapshot(project)
    owners = owners_in(project, snapshot, month="2026-10", by=by)
    with Questions(snapshot) as questions, patch("pipeline.charts.drawing.as_svg", return_value=""):
        said = questions.select(
            "select cost_measure, sum(realized_cost_rc) as cost from fct_owner_costs_daily "
            "where usage_date >= '2026-10-01' and usage_date < '2026-11-01' group by 1"
        )
        whole = dict(said.iter_rows())
        month = month_of(questions, [], config=project.config, first_day=OCTOBER)
        together = defaultdict(Decimal)
        for owned in owners:
            for (measure, column), value in sums(sections(owned, until=date(2026, 11, 15))[0](month))[0].items():
                if column == 5:
                    together[measure] += value
    assert together == whole


def test_the_command_writes_a_statement_and_names_whom_it_knows(demo_folder, tmp_path, monkeypatch):
    with patch("pipeline.charts.drawing.as_svg", return_value=""):
        asked = ["report", "--project", str(demo_folder), "--month", "2026-11", "--format", "csv"]
        done = CliRunner().invoke(group, [*asked, "--team", "demo-labs"])
        assert done.exit_code == 0, done.output
        assert done.output.strip().endswith("2026-11-team-demo-labs-csv")
        receipt = json.loads((demo_folder / ".breakeven/reports/2026-11-team-demo-labs-csv/manifest.json").read_text())
        assert {table["name"] for table in receipt["tables"]} >= {"statement", "headline", "verdicts"}
        page = page_of(
            Project(demo_folder),
            current_snapshot(Project(demo_folder)),
            first_day=date(2026, 11, 1),
            owned=Owned("team", "demo-labs"),
        )
        one = next(found for found in all_receipted(page) if found.table == "What it is made of")
        said = CliRunner().invoke(group, ["explain", "receipt", one.receipt, "--project", str(demo_folder)])
    assert said.exit_code == 0, said.output
    assert one.readings[0].text in said.output
    unknown = CliRunner().invoke(group, [*asked, "--team", "nobody-here"])
    assert unknown.exit_code != 0
