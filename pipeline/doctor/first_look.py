"""A first look at what was found, fetched and built aside: proposals are of real figures, and nothing lands here."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.config.file import parse_config
from pipeline.config.sources import BOTH_OF_AN_API
from pipeline.decisions.graph import build_project
from pipeline.decisions.plausible import land_config
from pipeline.decisions.quarantine import quarantine_list
from pipeline.doctor.figures import DAYS
from pipeline.doctor.findings import Finding
from pipeline.doctor.inputs import next_input
from pipeline.doctor.proposal import Entry, Proposals, yaml_text
from pipeline.errors import BreakevenError
from pipeline.landing.project import CONFIG_FILE, Project
from pipeline.reports.questions import Questions
from pipeline.sources.ingest import ingest
from pipeline.sources.prometheus import gpu_hosts_since
from pipeline.sources.source import FetchContext

# What is content-addressed: made here, it is not made again by the first run.
_SHARED_CACHE = ("lineage", "schemas", "nodes", "inputs", "parsed")
# Of an API, the bill: every hour of every key is much to ask for a proposal, and bills say what costs most.
_LONGEST_WAIT_SECONDS = 1.0
# Of a Prometheus, the last days: its whole retention is the first run's.
_OF_PROMETHEUS = timedelta(days=1)
_BILL_OF = {name: of[0] for name, of in BOTH_OF_AN_API.items()}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class FirstLook:
    """Rows of the questions of those names over the last 30 days; what could not be read; what would add most."""

    api: Sequence[Row]
    hosts: Sequence[Row]
    resources: Sequence[Row]
    estimates: Sequence[Row]
    problems: tuple[str, ...]
    following: Finding | None


def look_at(
    folder: Path, entries: Sequence[Entry], *, now: datetime, environment: Mapping[str, str], more: str = ""
) -> FirstLook:
    """Fetch, build and ask, in a folder that is gone afterwards. `more`: further sections of breakeven.yaml."""
    with _aside(folder, entries, now=now, more=more) as project:
        land_config(project, now)
        meant = parse_config(yaml_text("first-look", entries, Proposals(), today=date.min) + more)
        brought = ingest(project, now=now, environment=environment, sleep=_shortly)
        snapshot = build_project(project, as_of=now).snapshot
        to_date = now.date()
        days: dict[str, Any] = {"from_date": to_date - timedelta(days=DAYS), "to_date": to_date + timedelta(days=1)}
        with Questions(snapshot) as questions:
            return FirstLook(
                api=questions.ask("unassigned_api", **days).to_dicts(),
                hosts=questions.ask("hosts_seen", **days).to_dicts(),
                resources=questions.ask("unassigned_gpu", **days).to_dicts(),
                estimates=questions.ask("estimates", **days).to_dicts(),
                problems=(
                    *(f"{one.source} of {one.account}: {one.error}" for one in brought if one.error),
                    *(f"{one.name}: {one.reason}" for one in quarantine_list(project, as_of=now)),
                ),
                # Of an API only the bill was fetched: what breakeven.yaml will name is not what is missing.
                following=next_input(questions, meant, **days),
            )


def seen_since(
    look: FirstLook, entries: Sequence[Entry], *, now: datetime, environment: Mapping[str, str], since: date
) -> FirstLook:
    """The same, where a host that a Prometheus has kept for longer is seen since then (not before `since`): what its
    GPUs cost is owed for those days too, which the first run brings."""
    firsts: dict[str, date] = {}
    for entry in entries:
        if entry.said["source"] != "prometheus":
            continue
        context = FetchContext(
            account=entry.said["account"],
            settings={"base_url": entry.said["base_url"], **entry.said.get("settings", {})},
            from_at=None,
            to_at=now,
            now=now,
            environment=environment,
            sleep=_shortly,
        )
        # The look itself said already what the server does not answer.
        with suppress(BreakevenError):
            for host, day in gpu_hosts_since(context, since=since).items():
                firsts[host] = min(day, firsts.get(host, day))
    hosts = [
        {**row, "first_seen_date": min(row["first_seen_date"], firsts.get(row["host"], row["first_seen_date"]))}
        for row in look.hosts
    ]
    return replace(look, hosts=hosts)


def _shortly(seconds: float) -> None:
    """Somebody waits: what a source asks to wait for, the first run does."""
    time.sleep(min(seconds, _LONGEST_WAIT_SECONDS))


@contextmanager
def _aside(folder: Path, entries: Sequence[Entry], *, now: datetime, more: str) -> Iterator[Project]:
    with TemporaryDirectory() as made:
        aside = Path(made)
        since = now.date() - _OF_PROMETHEUS
        looked_at = [Entry(_as_seen_from_elsewhere(entry, folder, aside, since=since)) for entry in entries]
        text = yaml_text("first-look", looked_at, Proposals(), today=date.min)
        (aside / CONFIG_FILE).write_text(text + more, encoding="utf-8")
        for name in _SHARED_CACHE:
            theirs, ours = folder / ".breakeven" / "cache" / name, aside / ".breakeven" / "cache" / name
            ours.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                theirs.mkdir(parents=True, exist_ok=True)
                ours.symlink_to(theirs.resolve(), target_is_directory=True)
        yield Project(aside)


def _as_seen_from_elsewhere(entry: Entry, folder: Path, aside: Path, *, since: date) -> dict[str, Any]:
    said = {**entry.said, "source": _BILL_OF.get(entry.said["source"], entry.said["source"])}
    if entry.said["source"] == "prometheus":
        said["horizon"] = since
    if entry.files:
        put_into(aside / said["inbox"], entry.files, folder)
    elif "inbox" in said:
        said["inbox"] = str((folder / said["inbox"]).resolve())
    if "export" in said.get("settings", {}):
        said["settings"] = {**said["settings"], "export": str((folder / said["settings"]["export"]).resolve())}
    return said


def put_into(inbox: Path, files: Sequence[Path], folder: Path) -> None:
    """The same bytes under the same names, linked where that is possible; what is there already stays."""
    for file in files:
        target = inbox / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            continue
        try:
            os.link(file, target)
        except OSError:
            shutil.copy2(file, target)
