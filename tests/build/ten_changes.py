"""Ten kinds of change and what each rebuilds: `python -m tests.build.ten_changes` prints the table in ten_changes.md.

A small company with all kinds of source is built, then one thing is changed and it is built again. What may run is
derived from lineage and rows alone: a partition of a node runs where a row that it reads is another than before, where
its own text is, or where it is new; nothing else.
"""

import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from pipeline.build.closing_tables import closing_frames, closing_of
from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import config_versions
from pipeline.build.graph import BuildResult, Graph
from pipeline.build.relations import FrameRelation, Relation, partition_range
from pipeline.build.runner import Model
from pipeline.build.seeds import load_seeds
from pipeline.build.snapshot import Snapshot
from pipeline.build.sql_models import SqlModel
from pipeline.decisions.graph import shipped_graph
from pipeline.errors import ConfigError
from tests.pipeline import forgiving_reader
from tests.pipeline.small_project import (
    CONSOLE,
    COST_API,
    INVOICE,
    SPOOL,
    Answers,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    cost_result,
    invoice_csv,
    source,
    spool_file,
)

FOLDER = Path(__file__).parent
GOLDEN = FOLDER / "ten_changes.md"
COMMAND = "python -m tests.build.ten_changes > tests/build/ten_changes.md"
NOW = datetime(2026, 11, 5, 6, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
ECB = "ecb_rates"

# --- the company -----------------------------------------------------------------------------------------------------

SERVER = {
    "issuer": "gpucloud",
    "resource_id": "server-1",
    "host": "host-1",
    "gpu_count": 1,
    "contract_rate_per_gpu_hour": "2.00",
    "currency": "EUR",
    "from": "2026-09-01",
}
SECOND = {**SERVER, "resource_id": "server-2", "host": "host-2", "from": "2026-11-02"}
SECTIONS: Mapping[str, Any] = {
    "gpu_resources": [SERVER],
    "deployments": [{"deployment": "chat", "model": "m", "gpus_per_replica": 1, "hosts": ["host-1", "host-2"]}],
    "workloads": [{"workload": "everything", "team": "early", "match": [{"account": "labs"}]}],
}


def _console(name: str, *rows: tuple[str, str]) -> tuple[str, bytes]:
    """A Console export named after its days, `2026_10_01_to_2026_10_31_exported_2026_11_04`: (day, dollars) each."""
    return f"claude_api_cost_{name}.csv", console_csv(console_row(day, cost) for day, cost in rows)


def _rates(october: str) -> bytes:
    """Dollars for a euro, every Monday and Thursday of three months; that of 15 October as given."""
    first = date(2026, 8, 31)
    days = [first + timedelta(days=offset) for offset in range(66) if offset % 7 in (0, 3)]
    rows = [f"{day},{october if day == date(2026, 10, 15) else '1.1200'},\n" for day in days]
    return "".join(["Date,USD,\n", *reversed(rows)]).encode()


def company(folder: Path) -> SmallProject:
    """September to 4 November: two API bills, a GPU invoice in euros and its telemetry, exchange rates."""
    sources = [
        source(COST_API, "org"),
        source(CONSOLE, "labs"),
        source(INVOICE, "gpucloud"),
        source(SPOOL, "fleet"),
        {"source": ECB, "account": "ecb", "inbox": f"inbox/{ECB}/ecb"},
    ]
    made = SmallProject(folder, sources, SECTIONS)
    page = {f"2026-11-0{day}": [cost_result(f"{day}00")] for day in (1, 2, 3)}
    made.drop(COST_API, "org", "costs-20261104T060000Z.json", api_page(page))
    for name, *rows in (
        ("2026_09_10_to_2026_09_30_exported_2026_11_04", ("2026-09-12", "1.00"), ("2026-09-20", "2.00")),
        (
            "2026_10_01_to_2026_10_31_exported_2026_11_04",
            ("2026-10-10", "3.00"),
            ("2026-10-20", "4.00"),
            ("2026-10-20", "5.00"),
        ),
        ("2026_11_01_to_2026_11_03_exported_2026_11_04", ("2026-11-02", "6.00")),
    ):
        made.drop(CONSOLE, "labs", *_console(name, *rows))
    for number, period in ((9, ("2026-09-01", "2026-10-01")), (10, ("2026-10-01", "2026-11-01"))):
        bill = invoice_csv(
            [("GPU server", "server-1", "720.00"), ("VAT", "", "10.00")],
            invoice=f"INV-{number}",
            currency="EUR",
            period=period,
            total="730.00",
        )
        made.drop(INVOICE, "gpucloud", f"invoice-{number}.csv", bill)
    for day in ("2026-09-12", "2026-10-20", "2026-11-01", "2026-11-02"):
        made.drop(SPOOL, "fleet", f"host-1-{day}.spool.jsonl", spool_file(day))
    made.drop(ECB, "ecb", "rates.csv", _rates("1.1500"))
    return made


# --- the changes -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """`make` changes a project and returns the graph to build it with from now on; `what` says it in words."""

    name: str
    what: str
    make: Callable[[SmallProject], Graph]


def _dropped(name: str, account: str, *file: Any) -> Callable[[SmallProject], Graph]:
    def make(project: SmallProject) -> Graph:
        project.drop(name, account, *file)
        return shipped_graph()

    return make


def _said(**sections: Any) -> Callable[[SmallProject], Graph]:
    def make(project: SmallProject) -> Graph:
        project.configure(**sections)
        return shipped_graph()

    return make


def _new_gpu(project: SmallProject) -> Graph:
    project.configure(gpu_resources=[SERVER, SECOND])
    file = spool_file("2026-11-02", host="host-2", resource_id="server-2")
    project.drop(SPOOL, "fleet", "host-2-2026-11-02.spool.jsonl", file)
    return shipped_graph()


def _edited_model(project: SmallProject) -> Graph:
    """Teams in capitals, in one model of a copy of the models."""
    graph = shipped_graph()
    copy = project.folder / "models"
    shutil.copytree(graph.models_folder, copy)
    file = copy / "marts" / "fct_api_costs_daily.sql"
    file.write_text(file.read_text().replace("        team,\n", "        upper(team) as team,\n"))
    return replace(graph, models_folder=copy)


def _other_reader(project: SmallProject) -> Graph:
    """Every Console export is read anew, by a reader that reads these alike."""
    graph = shipped_graph()
    datasets = (replace(one, parse=forgiving_reader.parse) if one.source == CONSOLE else one for one in graph.datasets)
    return replace(graph, datasets=tuple(datasets))


def _typo(project: SmallProject) -> Graph:
    file = project.folder / "breakeven.yaml"
    file.write_text(file.read_text().replace("workloads:", "worklaods:"))
    return shipped_graph()


NEW_RATE = [{**SERVER, "to": "2026-11-02"}, {**SERVER, "contract_rate_per_gpu_hour": "3.00", "from": "2026-11-02"}]
NEW_OWNER = [{**SECTIONS["workloads"][0], "team": "late"}]

CHANGES = (
    Change(
        "a restated day", "the Console states 10 October anew, 3.50 instead of 3.00",
        _dropped(CONSOLE, "labs", *_console("2026_10_10_to_2026_10_10_exported_2026_11_05", ("2026-10-10", "3.50"))),
    ),
    Change("a new price", "a GPU-hour costs 3.00 euros instead of 2.00 from 2 November", _said(gpu_resources=NEW_RATE)),
    Change("a new GPU", "a second server is declared from 2 November, and its samples of that day arrive", _new_gpu),
    Change("an edited SQL model", "fct_api_costs_daily spells teams in capitals", _edited_model),
    Change("a changed owner", "the workload's team is another from today on", _said(workloads=NEW_OWNER)),
    Change(
        "an exchange rate", "the ECB's file states the rate of 15 October anew",
        _dropped(ECB, "ecb", "rates-again.csv", _rates("1.1600")),
    ),
    Change("a parser fix", "the reader of Console exports is another one, and reads the same in these", _other_reader),
    Change("a config typo", "`worklaods:`", _typo),
    Change(
        "a late old file", "the Console's first days of September, exported then",
        _dropped(CONSOLE, "labs", *_console("2026_09_01_to_2026_09_09_exported_2026_09_15", ("2026-09-05", "7.00"))),
    ),
    Change(
        "a withdrawn row", "the Console states 20 October anew, without one of its two rows",
        _dropped(CONSOLE, "labs", *_console("2026_10_20_to_2026_10_20_exported_2026_11_05", ("2026-10-20", "4.00"))),
    ),
)  # fmt: skip


# --- what a change does ----------------------------------------------------------------------------------------------

Ran = frozenset[tuple[str, str]]
_RowsByDay = Mapping[date | None, Counter[tuple[Any, ...]]]


@dataclass(frozen=True)
class State:
    """A built project: what its nodes read and what they say, by row."""

    snapshot: Snapshot
    models: Mapping[str, Model]
    relations: Mapping[str, Relation]
    before: "State | None" = None

    @cached_property
    def rows(self) -> Mapping[str, _RowsByDay]:
        """Table -> day (None where it is not dated) -> its rows."""
        connection = duckdb.connect(config={"threads": 1})
        connection.execute("set timezone = 'UTC'")
        return {
            name: self.before.rows[name] if self.before and self._is_as_before(name) else _rows_by_day(connection, said)
            for name, said in self.relations.items()
        }

    def _is_as_before(self, name: str) -> bool:
        """Whether a node's rows lie in the very files they lay in: then they need not be read again."""
        then = self.before.snapshot.nodes.get(name) if self.before else None
        now = self.snapshot.nodes.get(name)
        return then is not None and now is not None and (then.parts, then.columns) == (now.parts, now.columns)


def _rows_by_day(connection: duckdb.DuckDBPyConnection, relation: Relation) -> _RowsByDay:
    names = [name for name, _ in relation.columns]
    place = names.index(relation.date_column or "") if relation.is_dated else None
    found: dict[date | None, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for row in connection.execute(relation.sql(None)).fetchall():
        found[None if place is None else row[place]][tuple(map(str, row))] += 1
    return found


def state_of(project: SmallProject, result: BuildResult, graph: Graph, before: State | None = None) -> State:
    """What a build read and made."""
    assert result.landed is not None
    events = project.project.landing.contents().events
    frames = {**config_frames(config_versions(events), graph.datasets), **closing_frames(closing_of(events))}
    given: list[Relation] = [
        *result.landed.relations.values(),
        *load_seeds(graph.models_folder / "seeds", cache=project.cache),
        *(FrameRelation(name=name, frame=frame, folder=project.cache) for name, frame in frames.items()),
        *result.snapshot.nodes.values(),
    ]
    return State(
        snapshot=result.snapshot,
        models={model.name: model for model in graph.models(project.cache)},
        relations={relation.name: relation for relation in given},
        before=before,
    )


def expected_ran(before: State, after: State) -> Ran:
    """(node, partition) of all that reads another row than before, is written otherwise, or was not there; but for what
    has nothing to be made of.
    """
    found: set[tuple[str, str]] = set()
    for name, model in after.models.items():
        known = before.models.get(name)
        is_edited = known is None or known.code_hash != model.code_hash
        for partition in after.snapshot.nodes[name].parts:
            is_new = known is None or partition not in before.snapshot.nodes[name].parts
            is_other = any(_differs(before, after, model, table, partition) for table in model.inputs)
            if (is_edited or is_new or is_other) and not _has_nothing(after, model, partition):
                found.add((name, partition))
    return frozenset(found)


def _has_nothing(state: State, model: Model, partition: str) -> bool:
    """Whether the inputs of which its rows are made have none in the days that the partition reads."""
    made_of = model.rows_of if isinstance(model, SqlModel) else ()
    return bool(made_of) and not any(_days_read(state, model, table, partition) for table in made_of)


def _differs(before: State, after: State, model: Model, table: str, partition: str) -> bool:
    """Whether a partition of the model is handed other rows of the table than before."""
    if not after.relations[table].is_dated or model.partition_by == "none":
        return dict(before.rows.get(table, {})) != dict(after.rows[table])
    then, now = (_days_read(state, model, table, partition) for state in (before, after))
    return then != now


def _days_read(state: State, model: Model, table: str, partition: str) -> _RowsByDay:
    window = partition_range(partition)
    first = window.from_date - timedelta(days=model.lookback.get(table, 0))
    rows = state.rows.get(table, {})
    return {day: found for day, found in rows.items() if day is not None and first <= day < window.to_date}


@dataclass(frozen=True)
class Outcome:
    """`ran` as the build says it, `expected` as lineage does. `error`: what a person was told instead of a build."""

    change: Change
    before: State
    after: State | None
    ran: Ran
    expected: Ran
    error: str | None = None

    def moved(self) -> dict[str, list[date]]:
        """Published table -> the days of which a row is another."""
        if self.after is None:
            return {}
        found: dict[str, list[date]] = {}
        for name, folder in self.after.snapshot.folders.items():
            if folder not in ("marts", "decisions") or not name.startswith("fct_"):
                continue
            then, now = self.before.rows[name], self.after.rows[name]
            days = sorted(day for day in {*then, *now} if day is not None and then.get(day) != now.get(day))
            if days:
                found[name] = days
        return found


def outcome_of(
    base: SmallProject, before: State, change: Change, *, folder: Path
) -> tuple[Outcome, SmallProject, Graph]:
    """A copy of the base with one change, built."""
    shutil.copytree(base.folder, folder, symlinks=True)
    project = SmallProject(folder, base.sources, base.other_sections)
    graph = change.make(project)
    try:
        errors = [one.error for one in project.ingest(now=LATER) if one.error is not None]
    except ConfigError as error:
        return Outcome(change, before, None, frozenset(), frozenset(), str(error)), project, graph
    assert errors == []
    answers = project.build(now=LATER, graph=graph)
    after = state_of(project, answers.result, graph, before)
    ran = frozenset((name, partition) for name, parts in answers.result.ran.items() for partition in parts)
    return Outcome(change, before, after, ran, expected_ran(before, after)), project, graph


def cold(project: SmallProject, graph: Graph) -> Answers:
    """The same landing built from nothing but what is known of the SQL itself."""
    for made in (*project.cache.iterdir(), project.folder / ".breakeven" / "snapshots"):
        if made.is_dir() and made.name not in ("lineage", "schemas"):
            shutil.rmtree(made)
    return project.build(now=LATER, graph=graph)


# --- the table -------------------------------------------------------------------------------------------------------


def table(outcomes: Sequence[Outcome]) -> str:
    """ten_changes.md."""
    nodes = len(outcomes[0].before.models)
    lines = [
        "# Ten kinds of change, and what each rebuilds",
        "",
        f"What a test finds over a generated company (September to 4 November 2026, {nodes} nodes); to write it anew:",
        "",
        f"    {COMMAND}",
        "",
        "A partition is a month (`2026-10`), a day, or the whole of a node that has none (`all`). What ran is what",
        "reads another row than before, partition by partition, and each result is that of a build from nothing.",
        "",
        "| change | rebuilt | left as it was | figures that moved |",
        "|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(outcome) for outcome in outcomes)]) + "\n"


def _line(outcome: Outcome) -> str:
    change = outcome.change
    return f"| **{change.name}**: {change.what} | {_rebuilt(outcome)} | {_left(outcome)} | {_moved(outcome)} |"


def _rebuilt(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"nothing: {outcome.error}"
    if not outcome.ran:
        return "nothing"
    partitions: dict[str, list[str]] = defaultdict(list)
    for name, partition in sorted(outcome.ran):
        partitions[name].append(partition)
    alike: dict[str, list[str]] = defaultdict(list)
    for name, of_it in partitions.items():
        alike[_spans(of_it)].append(name)
    checks = {span: [name for name in names if name.startswith("check_")] for span, names in alike.items()}
    parts = []
    for span, names in sorted(alike.items(), key=lambda item: (item[0] == "all", item[0])):
        shown = [f"`{name}`" for name in names if not name.startswith("check_")]
        counted = [_count(len(checks[span]), "check")] if checks[span] else []
        parts.append(f"{span}: {', '.join([*shown, *counted])}")
    return "<br>".join(parts)


def _spans(partitions: Sequence[str]) -> str:
    """Days in runs, months one by one."""
    days = [date.fromisoformat(one) for one in partitions if len(one) == len("2026-10-01")]
    others = [one for one in partitions if len(one) != len("2026-10-01")]
    return ", ".join([*others, *_runs(days)])


def _runs(days: Iterable[date]) -> list[str]:
    runs: list[list[date]] = []
    for day in days:
        if runs and day == runs[-1][-1] + timedelta(days=1):
            runs[-1].append(day)
        else:
            runs.append([day])
    return [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]


def _left(outcome: Outcome) -> str:
    names = set(outcome.before.models)
    telemetry = _descendants(outcome.before.models, "landed_nvml_spool__")
    ran = {name for name, _ in outcome.ran}
    if not ran:
        return f"all {len(names)} nodes, and the snapshot" if outcome.error is not None else f"all {len(names)} nodes"
    untouched = telemetry - ran
    said = "all" if untouched == telemetry else f"{len(untouched)} of the"
    return f"{len(names - ran)} of {len(names)} nodes, {said} {len(telemetry)} that read telemetry among them"


def _descendants(models: Mapping[str, Model], prefix: str) -> set[str]:
    """Nodes that read a table of this name, or another of them, in whatever many steps; checks and decisions too."""
    found: set[str] = set()
    while True:
        more = {
            name
            for name, model in models.items()
            if name not in found and any(one.startswith(prefix) or one in found for one in model.inputs)
        }
        if not more:
            return found
        found |= more


def _moved(outcome: Outcome) -> str:
    moved = outcome.moved()
    if not moved:
        return "none"
    alike: dict[str, list[str]] = defaultdict(list)
    for name, days in moved.items():
        alike[", ".join(_runs(days))].append(f"`{name}`")
    return "<br>".join(f"{span}: {', '.join(sorted(names))}" for span, names in sorted(alike.items()))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def outcomes_in(folder: Path) -> Iterable[tuple[Outcome, SmallProject, Graph]]:
    """Each change, made to a copy of the company."""
    base = company(folder / "company")
    answers = base.run(now=NOW)
    before = state_of(base, answers.result, shipped_graph())
    for number, change in enumerate(CHANGES):
        yield outcome_of(base, before, change, folder=folder / f"change-{number}")


def main() -> int:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(table([outcome for outcome, _, _ in outcomes_in(Path(folder))]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
