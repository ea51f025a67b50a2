"""`landing redact`: take bytes out of landing that must not lie there. What that moves is printed before it is done."""

import re
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from pipeline.build.collect import held_snapshots
from pipeline.build.redactions import take_away
from pipeline.cli.amend import print_moves, what_events_move
from pipeline.cli.events import who
from pipeline.cli.groups import WholeSentences
from pipeline.cli.options import console, open_project, project_option
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable
from pipeline.landing.landing import REDACT_EVENT, as_event, redacted_words
from pipeline.landing.project import Project
from pipeline.landing.records import Delivery, digest

_MOST_NAMED = 5


@click.group(cls=WholeSentences)
def landing() -> None:
    """What has landed stays as it is. This is for what must not stay.

    \b
    Example:
      breakeven landing redact november.csv --reason "a payroll file, dropped by mistake"
    """


@landing.command()
@project_option
@click.argument("which", metavar="SHA256|FILE")
@click.option("--reason", default=None, help="Why it is taken out; kept for good in its place.")
@click.option("--yes", "is_meant", is_flag=True, help="Do it. Without this nothing is deleted.")
def redact(folder: Path | None, which: str, reason: str | None, is_meant: bool) -> None:
    """Take one object's bytes out of landing, for good, and leave a note of when and why.

    SHA256 is at least 8 digits of it, as `breakeven quarantine` and `breakeven explain` print it; FILE is the name
    under which it landed, or a file with the same bytes. What it said counts no more: of each of its days the delivery
    before it counts again, or there is no data, which is unknown and not zero. The same bytes do not land again.

    Prints what moves, and which kept snapshots still hold figures that may come from it. `--as-of` a moment before does
    not bring it back.

    \b
    Examples:
      breakeven landing redact 3fa9c01b22de
      breakeven landing redact november.csv --reason "restated under another name" --yes
    """
    project = open_project(folder)
    sha256, naming = _object(project, which)
    now = datetime.now(UTC)
    done = project.landing.contents().redacted.get(sha256)
    name = naming[0].objects[[landed.sha256 for landed in naming[0].objects].index(sha256)].name
    out = console()
    if done is None:
        if is_meant and not reason:
            raise click.UsageError("Say why: --reason TEXT. It stays for good in the place of the bytes.")
        body = {"reason": reason, "by": who(), "names": sorted(_names(naming, sha256))}
        event = as_event(kind=REDACT_EVENT, subject=sha256, body=body, now=now)
        with TemporaryDirectory() as aside:
            moves = what_events_move(project, [event], now=now, aside=Path(aside))
        print_moves(moves, title=printable(f"What moves without {name} ({sha256[:12]})"))
        _print_snapshots(project, naming)
        if is_meant:
            # First: whatever happens next, these bytes are read no more.
            project.landing.keep(event)
    else:
        out.print(printable(f"{name} ({sha256[:12]}) was {redacted_words(done)}."), markup=False)
    if not is_meant:
        out.print("Nothing was deleted. With --yes it is.")
        return
    take_away(sha256, landing=project.landing, cache=project.paths.cache, shared=project.shared)
    out.print("Deleted. Run `breakeven run` to use what counts now.")


def _object(project: Project, which: str) -> tuple[str, list[Delivery]]:
    """The sha256 of the one object that is meant, and the deliveries that name it."""
    deliveries = project.landing.contents().deliveries
    landed = {item.sha256: item for delivery in deliveries for item in delivery.objects}
    if re.fullmatch(r"[0-9a-f]{8,64}", which):
        found = {sha256 for sha256 in landed if sha256.startswith(which)}
    else:
        file = Path(which)
        found = {digest(file.read_bytes())} & landed.keys() if file.is_file() else set()
        found = found or {item.sha256 for delivery in deliveries for item in delivery.objects if item.name == which}
    if len(found) != 1:
        named = ", ".join(f"{sha256[:12]} {landed[sha256].name}" for sha256 in sorted(found)[:_MOST_NAMED])
        raise BreakevenError(
            printable(f"{len(found)} landed objects are meant by {which!r}{': ' if named else ''}{named}. ")
            + "Give at least 8 digits of the sha256 of one."
        )
    (sha256,) = found
    return sha256, [delivery for delivery in deliveries if any(item.sha256 == sha256 for item in delivery.objects)]


def _names(deliveries: list[Delivery], sha256: str) -> set[str]:
    return {item.name for delivery in deliveries for item in delivery.objects if item.sha256 == sha256}


def _print_snapshots(project: Project, naming: list[Delivery]) -> None:
    """A snapshot is what it was: until it is collected, figures that came from the bytes are in it."""
    since = min(delivery.landed_at for delivery in naming)
    held = [one for one in held_snapshots(project.paths, project.shared) if one.as_of >= since]
    if held:
        ids = ", ".join(one.snapshot_id for one in held[-_MOST_NAMED:])
        more = f" and {len(held) - _MOST_NAMED} older" if len(held) > _MOST_NAMED else ""
        console().print(
            f"Snapshots that may still hold rows and figures from it: {ids}{more}. They go with `breakeven collect`, "
            "those that are cited never.",
            markup=False,
        )
