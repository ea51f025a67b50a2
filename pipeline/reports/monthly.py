"""The month: one HTML file, its tables, a summary. Same release and same snapshot, same bytes."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

from pipeline.build.closing_tables import Closing, closing_of
from pipeline.build.files import swapped
from pipeline.build.snapshot import Snapshot
from pipeline.config.whole import Config
from pipeline.decisions.check_results import CheckResult, check_results
from pipeline.decisions.graph import config_of
from pipeline.decisions.quarantine import QuarantineEntry, quarantine_list
from pipeline.economics.realized_saving import WINDOW_DAYS
from pipeline.errors import BreakevenError
from pipeline.formats.cases import CASE_DONE
from pipeline.landing.landing import REPORT_EVENT
from pipeline.landing.project import Project
from pipeline.landing.records import digest
from pipeline.landing.times import stamp
from pipeline.reports import figures
from pipeline.reports.owners import owner_rows, owners_of
from pipeline.reports.page import Fact, Page, Section, render
from pipeline.reports.pdf import as_pdf
from pipeline.reports.proof import Proof
from pipeline.reports.questions import Questions
from pipeline.reports.rates import rate_notes
from pipeline.reports.receipts import Name, owner_mark, with_receipts
from pipeline.reports.scores import Done, Scored, scores
from pipeline.reports.sections import (
    changes,
    close,
    controls,
    gpus,
    headline,
    money,
    statement,
    trust,
    unit_costs,
    workloads,
)
from pipeline.reports.sections.anomalies import anomalies
from pipeline.reports.sections.month import Asks, Month, Recorded
from pipeline.reports.sections.scores import saved_by_recommendations
from pipeline.reports.sections.statement import By, Owned
from pipeline.reports.sheets import sheets_of
from pipeline.reports.summary import as_markdown
from pipeline.reports.tabular import as_xlsx, folder_of

FORMATS = ("html", "pdf", "md", "xlsx", "csv", "parquet")
# These are a folder of a file a table, with a manifest.
FOLDERS = ("csv", "parquet")


def write_report(project: Project, snapshot: Snapshot, *, month: str, now: datetime) -> Path:
    """Write `<state>/reports/<month>.html` (month: `2026-10`, UTC), swapped in whole. Returns its path.

    Raises as `write_reports`, which it is for one format.
    """
    [path] = write_reports(project, snapshot, month=month, now=now, formats=("html",))
    return path


def write_reports(
    project: Project, snapshot: Snapshot, *, month: str, now: datetime, formats: Sequence[str]
) -> list[Path]:
    """Write the month in each of `formats` (FORMATS) below `<state>/reports`. Returns their paths, in that order.

    A file `<month>.<format>` is swapped in whole; of a folder `<month>-<format>` each file, its manifest last. That it
    was issued is landed, once for one content: what it cites is kept (see `breakeven collect`).
    Raises BreakevenError for what is not a month, or for one that begins after the snapshot's day.
    """
    return list(make_reports(project, snapshot, month=month, now=now, formats=formats).paths)


@dataclass(frozen=True)
class Made:
    """A month's report as it was written: what it says, and its files and folders, a path a format.

    `of`: whose statement it is, as its files are called; empty for the whole.
    """

    month: str
    page: Page
    snapshot: Snapshot
    paths: tuple[Path, ...]
    of: str = ""

    def files(self) -> dict[str, bytes]:
        """Every file of it by its path below the reports' folder, a folder's manifest last."""
        found: dict[str, bytes] = {}
        for path in self.paths:
            if path.is_dir():
                inside = sorted(path.iterdir(), key=lambda file: (file.name == "manifest.json", file.name))
                found |= {f"{path.name}/{file.name}": file.read_bytes() for file in inside}
            else:
                found[path.name] = path.read_bytes()
        return found


def make_reports(
    project: Project,
    snapshot: Snapshot,
    *,
    month: str,
    now: datetime,
    formats: Sequence[str],
    owned: Owned | None = None,
) -> Made:
    """`write_reports`, and what the report says beside where it lies; with `owned` the statement of one. Raises as that
    does.
    """
    first_day = _first_day(month)
    if first_day > snapshot.as_of.date():
        raise BreakevenError(
            f"{month} begins after {snapshot.as_of:%Y-%m-%d}, the day of snapshot {snapshot.snapshot_id}. "
            "Name an earlier month, or run `breakeven run` first."
        )
    page = page_of(project, snapshot, first_day=first_day, owned=owned)
    of = "" if owned is None else f"{owned.by}-{_file_name(owned.name)}"
    written = (
        _written(project, snapshot, page, month=month, now=now, form=form, of=of) for form in dict.fromkeys(formats)
    )
    return Made(month, page, snapshot, tuple(written), of)


def _file_name(name: str | None) -> str:
    """An owner's name as a part of a file's: what is none of it is told apart by what it is of."""
    if name is None:
        return "nobody"
    plain = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
    return plain if plain == name and plain != "nobody" else f"{plain or 'name'}-{digest(name)[:8]}"


def owners_in(project: Project, snapshot: Snapshot, *, month: str, by: By = "team") -> list[Owned]:
    """Everybody to whom something was charged in the month, and last what nobody owns, where there is any."""
    first_day = _first_day(month)
    with Questions(snapshot) as questions:
        rows = owner_rows(
            questions.ask, config_of(project, snapshot), by=by, from_date=first_day, to_date=_next_month(first_day)
        )
    return [Owned(by, owner.name) for owner in owners_of(rows.to_dicts())]


def owned_by(project: Project, snapshot: Snapshot, name: Name) -> Owned | None:
    """Whose statement a receipt is of; None for the whole report. Raises BreakevenError where it is nobody's."""
    if name.of is None:
        return None
    kinds: tuple[By, ...] = ("team", "cost_centre")
    for by in kinds:
        for owned in [*owners_in(project, snapshot, month=f"{name.first_day:%Y-%m}", by=by), Owned(by, None)]:
            if owner_mark(owned) == name.of:
                return owned
    raise BreakevenError(
        f"Nothing of {figures.month_name(name.first_day)} is charged to whom this receipt is of, in snapshot "
        f"{snapshot.snapshot_id}."
    )


def page_of(project: Project, snapshot: Snapshot, *, first_day: date, owned: Owned | None = None) -> Page:
    """What the report of the month that begins on `first_day` says, as this snapshot knows it; or one's statement."""
    return report_page(
        snapshot,
        config=config_of(project, snapshot),
        quarantined=_quarantined(project, snapshot),
        first_day=first_day,
        done=_done(project, snapshot),
        closing=_closing(project, snapshot),
        owned=owned,
    )


def _written(
    project: Project, snapshot: Snapshot, page: Page, *, month: str, now: datetime, form: str, of: str
) -> Path:
    said = {"snapshot_id": snapshot.snapshot_id} | ({"of": of} if of else {})
    stem = f"{month}-{of}" if of else month
    if form in FOLDERS:
        facts = {"month": month, "as_of": stamp(snapshot.as_of), "release": snapshot.release, **said}
        files = folder_of(sheets_of(page), form, facts=facts)
        target = project.paths.reports / f"{stem}-{form}"
        whole = files["manifest.json"]
    else:
        files = {f"{stem}.{form}": _one_file(page, snapshot, form)}
        target = project.paths.reports / f"{stem}.{form}"
        whole = files[target.name]
    _land_issue(project, month, said | {"sha256": digest(whole)} | ({} if form == "html" else {"format": form}), now)
    folder = target if form in FOLDERS else target.parent
    for name, content in files.items():
        swapped(folder / name, partial(_write, content=content))
    if form in FOLDERS:
        # A table of an earlier release that this one does not have.
        for left in sorted(set(folder.glob(f"*.{form}")) - {folder / name for name in files}):
            left.unlink()
    return target


def _one_file(page: Page, snapshot: Snapshot, form: str) -> bytes:
    if form == "xlsx":
        return as_xlsx(sheets_of(page), title=f"LLM costs, {page.month}: {page.company}", as_of=snapshot.as_of)
    if form == "pdf":
        return as_pdf(page, snapshot_id=snapshot.snapshot_id, as_of=snapshot.as_of)
    return (as_markdown(page) if form == "md" else render(page)).encode()


def _land_issue(project: Project, month: str, said: Mapping[str, str], now: datetime) -> None:
    issued = project.landing.events(REPORT_EVENT)
    if not any(event.subject == month and event.body == said for event in issued):
        project.landing.record(kind=REPORT_EVENT, subject=month, body=said, now=now)


def report_text(
    snapshot: Snapshot,
    *,
    config: Config,
    quarantined: Sequence[QuarantineEntry],
    first_day: date,
    done: Sequence[Done] = (),
) -> str:
    """The report of the month that begins on `first_day`, as HTML. Reads nothing but its arguments."""
    return render(report_page(snapshot, config=config, quarantined=quarantined, first_day=first_day, done=done))


def report_page(
    snapshot: Snapshot,
    *,
    config: Config,
    quarantined: Sequence[QuarantineEntry],
    first_day: date,
    done: Sequence[Done] = (),
    closing: Closing | None = None,
    owned: Owned | None = None,
) -> Page:
    """What the report of the month that begins on `first_day` says. Reads nothing but its arguments.

    done: recommendations that somebody carried out by then, each with its subject. closing: what was entered and closed
    by then. owned: whose statement it is.
    """
    results = check_results(snapshot)
    with Questions(snapshot) as questions:
        found = month_of(questions, results, config=config, first_day=first_day)
        month = replace(found, closing=closing or Closing(), is_over=snapshot.as_of.date() >= found.to_date)
        statuses = {line["status"]: line["days_count"] for line in month.ask("day_status")}
        closed = [row["closed_at"] for row in month.ask("close_invoices") if row["closed_at"] is not None]
        if owned is None:
            parts = sections_of(month, results, quarantined, _scored(month, done))
        else:
            parts = statement_of(month, results, quarantined, owned, until=snapshot.as_of.date())
    page = Page(
        company=figures.visible(config.company) + ("" if owned is None else f", {owned}"),
        month=figures.month_name(first_day),
        period=(
            f"{figures.day(first_day)} to {figures.day(date.fromordinal(month.to_date.toordinal() - 1))}, days in "
            f"UTC. Money in {config.reporting_currency}. {figures.UNKNOWN} is unknown or undefined, never zero."
        ),
        state=f"{_day_states(statuses, month.days_count)} {_finality(closed)}",
        sections=parts,
        facts=(
            Fact("Snapshot", snapshot.snapshot_id),
            Fact("As of", figures.moment(snapshot.as_of)),
            Fact("Release", f"breakeven {snapshot.release}"),
            Fact("Landing", snapshot.landing_identity),
            Fact(
                "Read",
                f"{figures.counted(snapshot.delivery_count, 'delivery', 'deliveries')}, "
                f"{figures.counted(snapshot.event_count, 'event')}",
            ),
        ),
        reproduce=f"breakeven report --month {first_day:%Y-%m}{_asked_for(owned)} --as-of {stamp(snapshot.as_of)}",
        warnings=_warnings(snapshot, month, results),
        is_settled=snapshot.as_of.date() >= month.to_date and statuses.get("settled", 0) == month.days_count,
        is_final=bool(closed),
    )
    return with_receipts(page, snapshot_id=snapshot.snapshot_id, first_day=first_day, of=owner_mark(owned))


def _asked_for(owned: Owned | None) -> str:
    """As the command names whose statement it is."""
    if owned is None:
        return ""
    option = f"--{owned.by.replace('_', '-')}"
    return f" {option}s" if owned.name is None else f" {option} {shlex.quote(figures.visible(owned.name))}"


def month_of(asks: Asks, results: Sequence[CheckResult], *, config: Config, first_day: date) -> Month:
    """The month with its questions, what its laws refuse and what has no exchange rate."""
    days = {"from_date": first_day, "to_date": _next_month(first_day)}
    feeds = asks.ask("scope_feeds", **days).to_dicts()
    return Month(
        from_date=days["from_date"],
        to_date=days["to_date"],
        config=config,
        asks=asks,
        proof=Proof.of(results, feeds),
        rate_notes=tuple(
            rate_notes(asks.ask("unknown_costs", **days).to_dicts(), asks.ask("rates", **days).to_dicts(), config)
        ),
    )


def _closing(project: Project, snapshot: Snapshot) -> Closing:
    """What was entered and closed by the moment of the snapshot."""
    return closing_of(project.landing.contents().as_of(snapshot.as_of).events)


def _done(project: Project, snapshot: Snapshot) -> list[Done]:
    """What was called done by the moment of the snapshot."""
    events = project.landing.events(CASE_DONE)
    return [(event.subject, event.body) for event in events if event.at <= snapshot.as_of]


def _scored(month: Month, done: Sequence[Done]) -> list[Scored]:
    """Of the cases that were done before the month ended, what each saved, by all that is settled now."""
    first = min((date.fromisoformat(body["usage_date"]) for _, body in done), default=None)
    if first is None:
        return []
    days = {"from_date": first - timedelta(days=WINDOW_DAYS), "to_date": date.max}
    found = scores(done, month.asks.ask("alert_scores", **days).to_dicts())
    return [one for one in found if one.done_on < month.to_date]


def sections_of(
    month: Month,
    results: Sequence[CheckResult],
    quarantined: Sequence[QuarantineEntry],
    scored: Sequence[Scored] = (),
) -> tuple[Section, ...]:
    """In the order in which a finance reader asks. Recommendations have a section once one was carried out."""
    made: tuple[Callable[[Month], Section], ...] = (
        headline.headline,
        changes.changes,
        money.spend,
        unit_costs.unit_costs,
        gpus.waste,
        money.commitments,
        workloads.verdicts,
        gpus.recommendations,
        *((lambda month: saved_by_recommendations(month, scored),) if scored else ()),
        money.budget,
        anomalies,
        trust.reconciliation,
        close.close,
        controls.controls,
        lambda month: trust.coverage(month, quarantined),
        trust.assumptions,
        lambda _: trust.laws(results),
    )
    return tuple(_with_questions(month, section) for section in made)


def statement_of(
    month: Month, results: Sequence[CheckResult], quarantined: Sequence[QuarantineEntry], owned: Owned, *, until: date
) -> tuple[Section, ...]:
    """What concerns one owner, and what the figures stand on."""
    made = (
        *statement.sections(owned, until=until),
        lambda month: trust.coverage(month, quarantined),
        lambda _: trust.laws(results),
    )
    return tuple(_with_questions(month, section) for section in made)


def _with_questions(month: Month, made: Callable[[Month], Section]) -> Section:
    """The section with the questions that it was answered by, where the month remembers them."""
    asks = Recorded(month.asks)
    found = made(replace(month, asks=asks))
    return replace(found, questions=tuple(dict.fromkeys(asks.asked)))


def _first_day(month: str) -> date:
    if re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", month) is None or month.startswith("0000"):
        raise BreakevenError(f"{month!r} is not a month. Write it like 2026-10.")
    return date.fromisoformat(f"{month}-01")


def _next_month(first_day: date) -> date:
    return date(first_day.year + first_day.month // 12, first_day.month % 12 + 1, 1)


def _quarantined(project: Project, snapshot: Snapshot) -> list[QuarantineEntry]:
    """What could not be read then. Records of landing itself have no time and are left to `breakeven status`."""
    entries = quarantine_list(project, as_of=snapshot.as_of)
    return sorted(
        (entry for entry in entries if entry.source != "landing"),
        key=lambda entry: (entry.source, entry.account, entry.name, entry.sha256),
    )


def _day_states(statuses: dict[str, int], days_count: int) -> str:
    known = [
        f"{statuses[status]} {status}" for status in ("settled", "provisional", "open", "missing") if status in statuses
    ]
    unknown = days_count - sum(statuses.values())
    if unknown > 0:
        known.append(f"{unknown} with no data at all" if known else "no data at all")
    return f"Of {days_count} days: {', '.join(known)}."


def _finality(closed: Sequence[datetime]) -> str:
    """Final is what a close has fixed; until then a bill may still restate it."""
    if not closed:
        return "All figures are provisional: the month is not closed."
    return f"All figures of bills are final: the month was closed on {figures.day(max(closed).date())}."


def _warnings(snapshot: Snapshot, month: Month, results: Sequence[CheckResult]) -> tuple[str, ...]:
    warnings = []
    if snapshot.as_of.date() < month.to_date:
        warnings.append(
            f"The month is not over in this snapshot: figures reach {figures.moment(snapshot.as_of)} and will grow."
        )
    broken = sorted({result.law for result in results if not result.passed})
    if broken:
        count = figures.counted(len(broken), "law is", "laws are")
        warnings.append(f"{count} broken: figures made from the scopes listed under Laws are marked as not proven.")
    return tuple(warnings)


def _write(path: Path, *, content: bytes) -> None:
    path.write_bytes(content)
