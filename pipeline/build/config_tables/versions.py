"""What `breakeven.yaml` said, version by version, as it landed: edits, amendments, and what was measured since."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from pydantic import ValidationError

from pipeline.config.deployments import Capacity
from pipeline.config.landed import landed_config
from pipeline.config.whole import Config
from pipeline.config.workloads import Workload
from pipeline.landing.project import AMEND_EVENT, CAPACITY_EVENT, CONFIG_EVENT
from pipeline.landing.records import Event


class Version(NamedTuple):
    """What breakeven.yaml said, and since which day. `amends`: it replaces what was said of those days before."""

    at: datetime
    config: Config
    from_date: date = date.min
    amends: bool = False


@dataclass(frozen=True)
class LeftOut:
    """What this release cannot read of an event about the configuration, entry by entry. The rest of it holds."""

    event: Event
    reasons: tuple[str, ...] = ()


def config_versions(events: Iterable[Event]) -> list[Version]:
    """Every configuration and every amendment that was landed, oldest first. The last one speaks for today."""
    return [version for version, _ in _read(events) if version is not None]


def config_left_out(events: Iterable[Event]) -> list[LeftOut]:
    """What cannot be read of the configurations that speak for some day to this moment, oldest first."""
    speaking: list[tuple[date, LeftOut]] = []
    for version, left_out in _read(events):
        start = date.max if version is None else version.from_date
        speaking = [(earlier, said) for earlier, said in speaking if earlier < start]
        speaking.append((left_out.event.at.date() if version is None else start, left_out))
    return [left_out for _, left_out in speaking if left_out.reasons]


def _read(events: Iterable[Event]) -> Iterator[tuple[Version | None, LeftOut]]:
    """Each event about the configuration as this release reads it; None where it says nothing that can be read."""
    standing: Config | None = None
    measured: dict[str, Capacity] = {}
    is_first = True
    said = [event for event in events if event.kind in (CONFIG_EVENT, AMEND_EVENT, CAPACITY_EVENT)]
    # Of one moment, the amendment is of the version that landed with it, and so is what was measured.
    for event in sorted(said, key=lambda event: (event.at, event.kind != CONFIG_EVENT)):
        if event.kind == AMEND_EVENT:
            yield _amendment(event, None if standing is None else _with_measured(standing, measured))
            continue
        left_out: tuple[str, ...] = ()
        from_date = event.at.date()
        if event.kind == CAPACITY_EVENT:
            left_out = _read_measured(event, measured)
        else:
            read = landed_config(event.body.get("config"))
            standing, left_out = read.config, read.left_out
            from_date = date.min if is_first else from_date
            is_first = False
        version = None if standing is None else Version(event.at, _with_measured(standing, measured), from_date)
        yield version, LeftOut(event, left_out)


def _read_measured(event: Event, measured: dict[str, Capacity]) -> tuple[str, ...]:
    """Note what was measured of a deployment or a workload; why not, where it cannot be read."""
    try:
        measured[event.subject] = Capacity.model_validate(event.body["capacity"])
    except (KeyError, ValidationError) as error:
        return (f"what was measured of {event.subject} cannot be read: {type(error).__name__}",)
    return ()


def _with_measured(config: Config, measured: Mapping[str, Capacity]) -> Config:
    """What is declared, less what was measured since: of two capacities the later one counts."""

    def later(declared: Capacity | None, subject: str) -> Capacity | None:
        found = measured.get(subject)
        if found is None or (declared is not None and declared.measured_on > found.measured_on):
            return declared
        return found

    if not measured:
        return config
    deployments = tuple(
        one.model_copy(update={"capacity": later(one.capacity, measured_subject(deployment=one.deployment))})
        for one in config.deployments
    )
    workloads = tuple(_with_measured_candidate(one, measured) for one in config.workloads)
    return config.model_copy(update={"deployments": deployments, "workloads": workloads})


def _with_measured_candidate(workload: Workload, measured: Mapping[str, Capacity]) -> Workload:
    """A candidate sustains what its workload's requests were measured to be served with, unless one is declared."""
    found = measured.get(measured_subject(workload=workload.workload))
    if workload.candidate is None or workload.candidate.tokens_per_second is not None or found is None:
        return workload
    allowance = workload.candidate.peak_allowance if found.peak_allowance is None else found.peak_allowance
    update = {"tokens_per_second": found.tokens_per_second, "peak_allowance": allowance}
    return workload.model_copy(update={"candidate": workload.candidate.model_copy(update=update)})


def measured_subject(*, deployment: str | None = None, workload: str | None = None) -> str:
    """What a capacity event is about."""
    return f"deployment:{deployment}" if workload is None else f"workload:{workload}"


def _amendment(event: Event, standing: Config | None) -> tuple[Version | None, LeftOut]:
    """What an amendment says of the configuration that stands. Of days to come that is what the edit said before."""
    try:
        from_date = date.fromisoformat(event.body["from"])
    except (KeyError, TypeError, ValueError):
        return None, LeftOut(event, (f"`from` is {event.body.get('from')!r}, not a day",))
    if standing is None:
        return None, LeftOut(event, ("no configuration that can be read stood then",))
    return Version(event.at, standing, from_date, amends=True), LeftOut(event)
