"""Whether landing is whole: records that can be read, objects that are there and are what they are named by."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from pipeline.build.parsed import Unread, remembered_object
from pipeline.decisions.graph import shipped_graph
from pipeline.decisions.quarantine import QuarantineEntry, quarantine_within
from pipeline.doctor.findings import Cost, Finding
from pipeline.errors import LandingError
from pipeline.landing.dataset import datasets_by_name
from pipeline.landing.landing import Contents, DamagedObjectError
from pipeline.landing.project import CONFIG_FILE, Project
from pipeline.landing.records import Delivery, LandedObject
from pipeline.reports.figures import counted

AREA = "landing"
SAMPLE_OBJECTS = 20
SAMPLE_BYTES = 64 * 1024**2
_RESTORE = "Put it back from a backup under the same key; any copy of it is right. Then: breakeven run"


@dataclass(frozen=True)
class LandingLook:
    """What a look at landing showed. `damaged`: sha256 -> what is wrong, of objects that a manifest names.

    `read_count` of the `objects` were read and hashed; `is_full`: all that are there. `unread_count`: objects that no
    build has read yet; of those it is not known whether they can be. `elsewhere_count`: those that builds of other
    machines have read, and none here. `owners`: sha256 -> a delivery that names it.
    `is_config_landed`: breakeven.yaml says what landed last.
    """

    contents: Contents
    objects: Mapping[str, LandedObject]
    owners: Mapping[str, Delivery]
    damaged: Mapping[str, str]
    read_count: int
    is_full: bool
    unread_count: int
    elsewhere_count: int
    quarantined: tuple[QuarantineEntry, ...]
    is_config_landed: bool


def look_at_landing(project: Project, *, now: datetime, full: bool) -> LandingLook:
    """Everything that is named is looked for; a bounded sample, another one each day, is read; with `full` all of it.

    LandingError or OSError where landing itself cannot be read. Writes nothing.
    """
    contents = project.landing.contents().as_of(now)
    owners: dict[str, Delivery] = {}
    objects: dict[str, LandedObject] = {}
    for delivery in contents.deliveries:
        # What was redacted is gone on purpose.
        for landed in (item for item in delivery.objects if item.sha256 not in contents.redacted):
            objects.setdefault(landed.sha256, landed)
            owners.setdefault(landed.sha256, delivery)
    damaged = _gone_or_cut(project, objects) if objects else {}
    there = [landed for sha256, landed in sorted(objects.items()) if sha256 not in damaged]
    chosen = there if full else _sample(there, day_number=now.toordinal())
    damaged |= _altered(project, chosen)
    unread = _unread(project, contents, damaged)
    known = tuple(
        delivery for delivery in contents.deliveries if all(landed.sha256 not in unread for landed in delivery.objects)
    )
    elsewhere = _read_elsewhere(project) & unread if unread else set()
    entries = quarantine_within(replace(contents, deliveries=known), project=project, as_of=now)
    return LandingLook(
        contents=contents,
        objects=objects,
        owners=owners,
        damaged=damaged,
        read_count=len(chosen),
        is_full=full,
        unread_count=len(unread - elsewhere),
        elsewhere_count=len(elsewhere),
        quarantined=tuple(entry for entry in entries if entry.ended is None),
        is_config_landed=project.config_event(now) is None,
    )


def _gone_or_cut(project: Project, objects: Mapping[str, LandedObject]) -> dict[str, str]:
    sizes = {entry.key: entry.size_bytes for entry in project.landing.store.entries("objects")}
    damaged: dict[str, str] = {}
    for sha256, landed in objects.items():
        size = sizes.get(landed.key)
        if size is None:
            damaged[sha256] = f"{landed.key} is named by a manifest but is not in landing any more"
        elif size != landed.size_bytes:
            damaged[sha256] = f"{landed.key} has {size:,} bytes, not the {landed.size_bytes:,} that were landed"
    return damaged


def _sample(there: Sequence[LandedObject], *, day_number: int) -> list[LandedObject]:
    """At most so many objects and bytes, from another place each day. Hashes have no order, so this is no choice."""
    start = day_number * SAMPLE_OBJECTS % len(there) if there else 0
    chosen: list[LandedObject] = []
    room = SAMPLE_BYTES
    for landed in chain(there[start:], there[:start]):
        if len(chosen) == SAMPLE_OBJECTS:
            break
        if landed.size_bytes <= room:
            chosen.append(landed)
            room -= landed.size_bytes
    return chosen


def _altered(project: Project, chosen: Iterable[LandedObject]) -> dict[str, str]:
    damaged: dict[str, str] = {}
    for landed in chosen:
        try:
            project.landing.read_object(landed)
        except DamagedObjectError as error:
            damaged[landed.sha256] = str(error).partition(":")[0]
    return damaged


def _unread(project: Project, contents: Contents, damaged: Mapping[str, str]) -> set[str]:
    """Objects that the cache does not know and that are there: looking closer would mean to read them all."""
    datasets = datasets_by_name(shipped_graph().datasets)
    unread: set[str] = set()
    for delivery in contents.deliveries:
        dataset = datasets.get((delivery.source, delivery.dataset))
        for landed in delivery.objects if dataset is not None else ():
            if landed.sha256 in damaged or landed.sha256 in contents.redacted or dataset is None:
                continue
            known = remembered_object(landed, dataset=dataset, settings=delivery.settings, cache=project.paths.cache)
            if isinstance(known, Unread):
                unread.add(landed.sha256)
    return unread


def _read_elsewhere(project: Project) -> set[str]:
    """sha256 of what any machine has read, whatever its release."""
    if project.shared is None:
        return set()
    return {key.split("/")[-3] for key in project.shared.keys("cache/parsed") if key.endswith("/parsed.json")}


def landing_findings(look: LandingLook, *, configured: Iterable[tuple[str, str]]) -> list[Finding]:
    """`configured`: (source, account) of what has findings of its own for what is in quarantine."""
    own = set(configured)
    return [
        _objects(look),
        *(_damage(look, sha256, said) for sha256, said in sorted(look.damaged.items())),
        _records(look),
        *(
            _found(
                "records", "fix", f"{record.key}: {record.reason}", fix=_fix_of_record(record.reason),
                cost=Cost.FILES_NOT_COUNTED,
            )
            for record in look.contents.unreadable
        ),
        *_wrong_clocks(look),
        *_unread_finding(look),
        *(
            _found(
                "quarantine", "fix", f"{entry.source} of {entry.account}: {entry.name}: {entry.reason}",
                fix="infra/RUNBOOK.md, Quarantine, says what to do for that reason", cost=Cost.FILES_NOT_COUNTED,
            )
            for entry in look.quarantined
            if (entry.source, entry.account) not in own and entry.source != "landing"
        ),
    ]  # fmt: skip


def _objects(look: LandingLook) -> Finding:
    if not look.objects:
        return _found("objects", "ok", "nothing has landed yet")
    objects = counted(len(look.objects), "object")
    size = in_bytes(sum(landed.size_bytes for landed in look.objects.values()))
    read = "each was read" if look.is_full else f"{look.read_count} of them read"
    if look.damaged:
        return _found("objects", "ok", f"{objects} ({size}) named, {read}: {len(look.damaged):,} of them not whole")
    return _found("objects", "ok", f"{objects} ({size}), all there; {read} and unchanged")


def _damage(look: LandingLook, sha256: str, said: str) -> Finding:
    delivery = look.owners[sha256]
    return _found(
        "objects",
        "fix",
        f"{said} ({look.objects[sha256].name}, {delivery.source} of {delivery.account})",
        fix=_RESTORE,
        cost=Cost.LANDED_BYTES_LOST,
        source=delivery.source,
        account=delivery.account,
        dataset=delivery.dataset,
    )


def _records(look: LandingLook) -> Finding:
    """What a release that cannot read a record leaves out is listed one by one after this."""
    count = len(look.contents.deliveries) + len(look.contents.events)
    unreadable = len(look.contents.unreadable)
    said = f"{counted(count, 'record')} read, in formats that this release knows"
    return _found("records", "ok", said if not unreadable else f"{said}; {unreadable:,} not")


def _wrong_clocks(look: LandingLook) -> list[Finding]:
    """What came last from a server, or under a name, that says a moment which had not come."""
    newest: dict[tuple[str, str, str], Delivery] = {}
    for delivery in look.contents.deliveries:
        newest[delivery.source, delivery.account, delivery.dataset] = delivery
    return [
        _found(
            "records",
            "note",
            f"{one.source} of {one.account}: the last delivery of {one.dataset} says that it is of "
            f"{one.stated_at:%Y-%m-%d %H:%M} UTC and it landed at {one.landed_at:%Y-%m-%d %H:%M}. It counts as of then",
            fix="Set the clock that is wrong, that server's or this machine's; a file's name may state it too",
            source=one.source,
            account=one.account,
            dataset=one.dataset,
        )
        for _, one in sorted(newest.items())
        if one.said_at != one.stated_at
    ]


def _fix_of_record(reason: str) -> str:
    if "unknown to this release" in reason:
        return "Upgrade breakeven, then: breakeven run"
    return "Put it back from a backup under the same key, then: breakeven run"


def _unread_finding(look: LandingLook) -> list[Finding]:
    findings = []
    if look.elsewhere_count:
        objects = counted(look.elsewhere_count, "landed object")
        said = f"{objects} read by other machines only: what of them is in quarantine, `breakeven status` says"
        findings.append(_found("objects", "skipped", said))
    if look.unread_count:
        said = f"{counted(look.unread_count, 'landed object')} not read yet by this release"
        findings.append(_found("objects", "note", said, fix="breakeven run", cost=Cost.NOT_RUN_YET))
    return findings


def no_landing(error: Exception) -> list[Finding]:
    """Landing that cannot be read at all."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if not isinstance(error, LandingError | OSError):
        said = f"asking failed ({type(error).__name__})"
    fix = (
        "See that `state` in breakeven.yaml is right and may be read; on S3, `breakeven policy aws` says what it needs"
    )
    return [_found("objects", "fix", f"landing cannot be read: {said}", fix=fix, cost=Cost.NOTHING_CAN_LAND)]


def config_findings(look: LandingLook) -> list[Finding]:
    """Whether what stands in breakeven.yaml is what figures are made with."""
    if look.is_config_landed or not look.contents.events:
        return []
    said = f"{CONFIG_FILE} says something else than what landed last"
    return [_found("config", "note", said, fix="breakeven run", cost=Cost.NOT_RUN_YET)]


def in_bytes(size: int) -> str:
    """`12.3 MB`."""
    number = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def _found(check: str, state: Any, said: str, **more: Any) -> Finding:
    return Finding(AREA, "landing", check, state, said, **more)
