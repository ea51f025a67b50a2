"""`amend`: what breakeven.yaml says now was so since a past day. What that moves is printed before it is landed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import duckdb
import polars as pl

from pipeline.build.graph import build
from pipeline.build.publish import published_tables
from pipeline.build.relations import DateRange, NodeRelation, literal, partition_range, quoted
from pipeline.build.snapshot import Snapshot
from pipeline.cli.events import who
from pipeline.cli.options import console, emit, format_option, moment, open_project, project_option
from pipeline.decisions.graph import shipped_graph
from pipeline.decisions.plausible import refuse_impossible
from pipeline.landing.landing import Landing, as_event
from pipeline.landing.project import AMEND_EVENT, CONFIG_FILE, Project
from pipeline.landing.records import Event
from pipeline.paths import StatePaths
from pipeline.sources.ingest import check_sources

_MONEY = pl.Decimal(38, 18)
_TABLES: dict[str, pl.DataType] = {
    "table_name": pl.String(),
    "changed_days_count": pl.Int64(),
    "first_changed_date": pl.Date(),
    "last_changed_date": pl.Date(),
    "removed_rows_count": pl.Int64(),
    "added_rows_count": pl.Int64(),
}
_AMOUNTS: dict[str, pl.DataType] = {
    "amount": pl.String(),
    "per": pl.String(),
    "name": pl.String(),
    "cost_measure": pl.String(),
    "currency": pl.String(),
    "before_cost": _MONEY,
    "after_cost": _MONEY,
    "difference_cost": _MONEY,
    "before_unknown_rows_count": pl.Int64(),
    "after_unknown_rows_count": pl.Int64(),
}
_PER = ("account", "deployment_id", "workload")


@click.command()
@project_option
@click.option(
    "--from", "from_text", required=True, metavar="DATE", help="First UTC day of which breakeven.yaml is true as it is."
)
@click.option("--reason", default=None, help="Why the past was said wrong; kept with the amendment.")
@click.option("--yes", "is_meant", is_flag=True, help="Land it. Without this nothing is landed.")
@click.option("--as-of", "as_of", default=None, metavar="MOMENT", help="Pretend that now is this moment (UTC).")
@format_option
def amend(
    folder: Path | None, from_text: str, reason: str | None, is_meant: bool, as_of: str | None, output_format: str
) -> None:
    """Correct the past: breakeven.yaml, as it stands now, is what has been true since a day.

    An edit of breakeven.yaml holds from the day it lands, so that what was reported stays. This is for an edit that
    should have been made earlier: it replaces what was said of every day since DATE, and of no day before. `--as-of` a
    moment before it still gives the old figures.

    Prints what moves: of each published table the days and rows, and the totals of its money over those days, before
    and after. A total is of the amounts that are known; the rows without one are counted beside it.

    \b
    Examples:
      breakeven amend --from 2026-10-01
      breakeven amend --from 2026-10-01 --reason "the rate was renegotiated in September" --yes
    """
    project = open_project(folder)
    now = moment(as_of, now=datetime.now(UTC))
    events = _events(project, from_date=_past_day(from_text, now), reason=reason, now=now)
    with TemporaryDirectory() as aside:
        moves = what_events_move(project, events, now=now, aside=Path(aside))
    if is_meant:
        for event in events:
            project.landing.keep(event)
    _print(moves, output_format, from_text=from_text, is_meant=is_meant)


def what_events_move(project: Project, events: Sequence[Event], *, now: datetime, aside: Path) -> pl.DataFrame:
    """What `what_moves` says of landing as it is, and as it would be with these events. Lands nothing."""
    before = _built(project, project.landing, now=now, aside=aside)
    after = _built(project, project.landing.proposing(events), now=now, aside=aside)
    return what_moves(before, after, currency=project.config.reporting_currency)


def _past_day(text: str, now: datetime) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a date like 2026-10-01.", param_hint="--from") from None
    if day > now.date():
        raise click.BadParameter(
            f"{day} is still to come. For days to come, give the entry a `from:` in breakeven.yaml, or edit it then.",
            param_hint="--from",
        )
    return day


def _events(project: Project, *, from_date: date, reason: str | None, now: datetime) -> list[Event]:
    """This version of the configuration, unless it has landed, and the amendment."""
    check_sources(project.config)
    refuse_impossible(project.config)
    version = project.config_event(now)
    body = {"from": from_date.isoformat(), "why": reason, "by": who()}
    amendment = as_event(kind=AMEND_EVENT, subject=CONFIG_FILE, body=body, now=now)
    return [amendment] if version is None else [version, amendment]


@dataclass(frozen=True)
class _Aside(StatePaths):
    """A project's state whose snapshots go elsewhere: one that may never come to be is not kept."""

    aside: Path

    @property
    def snapshots(self) -> Path:
        return self.aside


def _built(project: Project, landing: Landing, *, now: datetime, aside: Path) -> Snapshot:
    """What a build of this landing says now. The project's cache makes it as dear as what it changes."""
    paths = _Aside(project.paths.root, aside)
    return build(
        shipped_graph(), landing=landing, paths=paths, as_of=now, make_current=False, shared=project.shared
    ).snapshot


def what_moves(before: Snapshot, after: Snapshot, *, currency: str) -> pl.DataFrame:
    """One row per published table, amount, and account, deployment or workload whose total differs.

    A table whose rows differ and whose totals do not has one row without amount. Ordered; empty when nothing differs.
    `currency` is the reporting currency. Verdicts speak of windows that overlap: their money is not added up.
    """
    rows: list[dict[str, Any]] = []
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    for name in published_tables(after):
        told = _Told(connection, before.node(name), after.node(name))
        if (table := told.rows()) is None:
            continue
        is_money = after.folders[name] == "marts" and "account" in told.columns
        amounts = list(told.amounts(currency)) if is_money else []
        rows.extend({**table, **amount} for amount in amounts or [{}])
    connection.close()
    return pl.DataFrame(rows, schema={**_TABLES, **_AMOUNTS}, orient="row")


@dataclass(frozen=True)
class _Told:
    """One table, as it is told before and after."""

    connection: duckdb.DuckDBPyConnection
    before: NodeRelation
    after: NodeRelation

    @property
    def columns(self) -> dict[str, str]:
        return dict(self.after.columns)

    def rows(self) -> dict[str, Any] | None:
        """How many rows are gone and new, as multisets, and on which days; None when none is. Keeps those days."""
        if self.before.content(None) == self.after.content(None):
            return None
        window = self._window()
        for side, node in (("before", self.before), ("after", self.after)):
            self.connection.execute(f"create or replace temp view {side}_rows as {node.sql(window)}")
        day = quoted(self.after.date_column) if self.after.date_column in self.columns else "cast(null as date)"
        self.connection.execute(
            "create or replace temp table changed as "  # noqa: S608 - quoted names
            f"select {day} as changed_date, 'removed' as side "
            "from (select * from before_rows except all select * from after_rows) "
            f"union all select {day}, 'added' from (select * from after_rows except all select * from before_rows)"
        )
        counts = self.connection.execute(
            "select count(distinct changed_date), min(changed_date), max(changed_date), "
            "count(*) filter (where side = 'removed'), count(*) filter (where side = 'added') from changed"
        ).fetchall()
        return dict(zip(_TABLES, (self.after.name, *counts[0]), strict=True))

    def _window(self) -> DateRange | None:
        """The days of every partition that differs; None, for all of them, where a table has no days."""
        if not self.after.is_dated:
            return None
        contents = [
            {partition: part.content for partition, part in node.parts.items()} for node in (self.before, self.after)
        ]
        ranges = [
            partition_range(partition)
            for partition in {**contents[0], **contents[1]}
            if contents[0].get(partition) != contents[1].get(partition)
        ]
        return DateRange(min(days.from_date for days in ranges), max(days.to_date for days in ranges))

    def amounts(self, currency: str) -> Iterator[dict[str, Any]]:
        """Totals that differ, over the days that do: of each amount, and by whoever the row names."""
        for amount, kind in self.after.columns:
            if not (amount.endswith(("_cost", "_cost_rc")) and kind.startswith("DECIMAL")):
                continue
            for per in (name for name in _PER if name in self.columns):
                yield from self._totals(amount, per, literal(currency) if amount.endswith("_rc") else None)

    def _totals(self, amount: str, per: str, currency: str | None) -> Iterator[dict[str, Any]]:
        """Never summed over currencies, nor over billed, effective and accrued."""
        columns = self.columns
        measure = "cost_measure" if "cost_measure" in columns else "cast(null as varchar)"
        native = "billing_currency" if "billing_currency" in columns else "cast(null as varchar)"
        on_changed_days = (
            f"where {quoted(self.after.date_column)} in (select changed_date from changed)"  # noqa: S608
            if self.after.date_column in columns
            else ""
        )
        sides = " union all ".join(
            f"select '{side}' as side, {quoted(per)} as name, {measure} as cost_measure, "  # noqa: S608 - quoted names
            f"{currency or native} as currency, {quoted(amount)} as amount from {side}_rows {on_changed_days}"
            for side in ("before", "after")
        )
        totals = self.connection.execute(
            "select name, cost_measure, currency, "  # noqa: S608 - quoted names
            "cast(sum(amount) filter (where side = 'before') as decimal(38, 18)) as before_cost, "
            "cast(sum(amount) filter (where side = 'after') as decimal(38, 18)) as after_cost, "
            "after_cost - before_cost as difference_cost, "
            "count(*) filter (where side = 'before' and amount is null) as before_unknown, "
            "count(*) filter (where side = 'after' and amount is null) as after_unknown "
            f"from ({sides}) group by all "
            "having before_cost is distinct from after_cost or before_unknown != after_unknown order by all"
        ).fetchall()
        for total in totals:
            yield dict(zip(_AMOUNTS, (amount, per, *total), strict=True))


def _print(moves: pl.DataFrame, output_format: str, *, from_text: str, is_meant: bool) -> None:
    if output_format != "table":
        emit(moves, output_format)
        return
    out = console()
    print_moves(moves, title=f"What moves from {from_text}")
    out.print("Landed. Run `breakeven run` to use it." if is_meant else "Nothing was landed. With --yes it is.")


def print_moves(moves: pl.DataFrame, *, title: str) -> None:
    """For people: the tables that move, and the money."""
    if moves.is_empty():
        console().print("Nothing moves.")
        return
    emit(moves.select(list(_TABLES)).unique(maintain_order=True), "table", title=title)
    money = moves.filter(pl.col("amount").is_not_null())
    if not money.is_empty():
        emit(_in_short(money), "table", title="Money over the days that move")


def _in_short(money: pl.DataFrame) -> pl.DataFrame:
    """As wide as a terminal: whose amount it is in two words, and what is unknown only where something is."""
    unknown = [name for name in _AMOUNTS if name.endswith("_unknown_rows_count") and money[name].sum()]
    return money.select(
        pl.concat_str("table_name", "amount", separator=".").alias("amount"),
        pl.concat_str(pl.col("per").str.strip_suffix("_id"), pl.col("name").fill_null("(none)"), separator=":").alias(
            "of"
        ),
        *("cost_measure", "currency", "before_cost", "after_cost", "difference_cost"),
        *unknown,
    )
