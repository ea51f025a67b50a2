"""A report given to others: published below an address, mailed. What is given is kept as it was given.

Published bytes are never replaced: each snapshot and release has a folder of its own. A letter is claimed before it is
sent, so that of several machines one sends it, and what may have arrived is not sent again by itself.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath

from pipeline import mail
from pipeline.config.whole import Config
from pipeline.errors import BreakevenError
from pipeline.landing.landing import REPORT_MAILED_EVENT, REPORT_PUBLISHED_EVENT, REPORT_UNMAILED_EVENT
from pipeline.landing.project import Project
from pipeline.landing.records import digest
from pipeline.landing.store import open_store
from pipeline.reports.monthly import Made
from pipeline.reports.page import Page, Tiles

CONTENT_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".pdf": "application/pdf",
    ".md": "text/markdown; charset=utf-8",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".csv": "text/csv; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
}
# Beyond this most servers refuse a letter.
MOST_ATTACHED_BYTES = 15 * 10**6
# What a reader opens from a letter; the others are for programs.
_ATTACHED = (".pdf", ".xlsx", ".html")


def publish(project: Project, made: Made, place: str, *, now: datetime) -> str:
    """Put every file of the report below `<place>/<month>/<snapshot>-<release>/`; `place` is `s3://...` or a folder,
    relative to the project. Done again it does nothing. Returns the address of that folder.

    Raises BreakevenError where other bytes lie there, which stay; LandingError where S3 refuses.
    """
    where = place if place.startswith("s3://") else str(project.folder / Path(place).expanduser())
    store = open_store(where)
    of = f"-{made.of}" if made.of else ""
    folder = f"{made.month}{of}/{made.snapshot.snapshot_id}-{made.snapshot.release}"
    files = made.files()
    for name, content in files.items():
        kind = CONTENT_TYPES[PurePosixPath(name).suffix]
        is_new = store.put_if_absent(f"{folder}/{name}", content, content_type=kind)
        if not is_new and store.find(f"{folder}/{name}") != content:
            raise BreakevenError(
                f"{where.rstrip('/')}/{folder}/{name} is another report's: it was left as it is. Publish elsewhere, or "
                "take it away if it is not wanted."
            )
    address = f"{where.rstrip('/')}/{folder}"
    said = {"place": address, "files": _kept(project, files)}
    if not any(event.body == said for event in project.landing.events(REPORT_PUBLISHED_EVENT)):
        project.landing.record(kind=REPORT_PUBLISHED_EVENT, subject=made.month, body=said, now=now)
    return address


def mail_report(
    project: Project,
    made: Made,
    recipients: Sequence[str],
    *,
    now: datetime,
    environment: Mapping[str, str],
    links: Sequence[str] = (),
    once_for: str | None = None,
) -> str:
    """Mail the report with its PDF, workbook and page as far as they were made. Returns one line of what came of it.

    Once for one content and its recipients; `once_for`: once for what this names, whatever the content. A letter of
    which nobody knows whether it arrived is not sent again. Raises MailError where nothing was mailed.
    """
    config = project.config
    if config.mail is None:
        raise mail.MailError("breakeven.yaml names no mail server. Say in `mail` its host and from.")
    server = mail.server_of(config.mail, environment=environment)
    files = {name: content for name, content in made.files().items() if "/" not in name}
    content = once_for or digest({name: digest(held) for name, held in files.items()})
    key = f"report {made.month} {made.of} {content} {' '.join(sorted(recipients))}"
    failed = sum(event.body.get("key") == key for event in project.landing.events(REPORT_UNMAILED_EVENT))
    name = f"mail {key} {failed}"
    if project.landing.claimed(name) is not None:
        return _said_before(project, key)
    # Whatever may fail comes before the claim: between that and the answer nothing does but the sending.
    letter = _letter(config, made.page, recipients, key=key, now=now, files=files, links=links)
    kept = _kept(project, files)
    if not project.landing.claim(name=name, body={"month": made.month}, now=now):
        return _said_before(project, key)
    try:
        refused = mail.send(letter, server)
    except mail.UncertainMailError:
        raise
    except mail.MailError:
        project.landing.record(kind=REPORT_UNMAILED_EVENT, subject=made.month, body={"key": key}, now=now)
        raise
    said = {"key": key, "files": kept, "recipients": list(recipients), "refused": refused}
    project.landing.record(kind=REPORT_MAILED_EVENT, subject=made.month, body=said, now=now)
    arrived = [name for name in recipients if name not in refused]
    told = f"mailed to {', '.join(arrived)}"
    return told + "".join(f"; refused for {name}: {words}" for name, words in refused.items())


def _said_before(project: Project, key: str) -> str:
    for event in project.landing.events(REPORT_MAILED_EVENT):
        if event.body.get("key") == key:
            return f"mailed already on {event.at:%Y-%m-%d %H:%M} UTC: not sent again"
    return (
        "somebody began to mail it and nobody knows whether it arrived: not sent again. Ask a recipient; forward the "
        "file by hand if it did not"
    )


def _kept(project: Project, files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: project.landing.keep_issued(content) for name, content in files.items()}


def _letter(
    config: Config,
    page: Page,
    recipients: Sequence[str],
    *,
    key: str,
    now: datetime,
    files: Mapping[str, bytes],
    links: Sequence[str],
) -> mail.Letter:
    assert config.mail is not None
    attached, left_out, size = [], [], 0
    for name in sorted(files, key=lambda name: (_place(name), name)):
        kind = PurePosixPath(name).suffix
        if kind not in _ATTACHED:
            continue
        if size + len(files[name]) > MOST_ATTACHED_BYTES:
            left_out.append(f"{name} is too large to be attached ({len(files[name]):,} bytes).")
            continue
        size += len(files[name])
        content_type = CONTENT_TYPES[kind].partition(";")[0]
        attached.append(mail.Attachment(name=name, content_type=content_type, content=files[name]))
    return mail.Letter(
        key=key,
        sender=config.mail.sender,
        recipients=recipients,
        subject=f"LLM costs, {page.month}: {page.company}",
        text=as_text(page, [*(f"Published: {link}" for link in links), *left_out]),
        sent_at=now,
        attachments=attached,
    )


def _place(name: str) -> int:
    kind = PurePosixPath(name).suffix
    return _ATTACHED.index(kind) if kind in _ATTACHED else len(_ATTACHED)


def as_text(page: Page, notes: Sequence[str] = ()) -> str:
    """The month in plain words: the headline's figures, and what each section says."""
    lines = [f"LLM costs, {page.month}: {page.company}", page.period, page.state, *page.warnings]
    for section in page.sections:
        lines += ["", section.title.upper(), section.says]
        for block in section.blocks:
            if isinstance(block, Tiles):
                lines += [
                    f"  {tile.title}: {tile.figure} {tile.unit}"
                    + (f" (not proven: {', '.join(tile.refused)})" if tile.refused else "")
                    for tile in block.tiles
                ]
    lines += ["", *notes, f"Made again by: {page.reproduce}", ""]
    return "\n".join(lines)
