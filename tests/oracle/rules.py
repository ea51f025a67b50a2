"""What a person declared, looked up for a day: workloads, deployments, resources, overheads."""

from collections.abc import Iterable, Iterator
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle.landed import Project

UNASSIGNED = "unassigned"
_API_ONLY = ("provider", "account", "workspace", "project", "api_key", "gateway_key", "gateway_team")
_SERVED_ONLY = ("served_name", "deployment")


class Owner(NamedTuple):
    workload: str
    team: str | None


def in_force(entries: Iterable[dict[str, Any]], day: date) -> Iterator[dict[str, Any]]:
    """Entries valid on a day: `from` inclusive, `to` exclusive, either may be open."""
    for entry in entries:
        start, end = entry.get("from"), entry.get("to")
        if (start is None or date.fromisoformat(start) <= day) and (end is None or day < date.fromisoformat(end)):
            yield entry


def api_owner(
    project: Project, *, provider: str, account: str, workspace: str | None, api_key: str | None, model: str | None
) -> Owner:
    """The one workload that claims an API cell; none or several is unassigned. The default workspace is `Default`."""
    said = {
        "provider": provider,
        "account": account,
        "workspace": workspace or "Default",
        "api_key": api_key,
        "model": model,
    }
    return _owner(project, said, silent=_SERVED_ONLY)


def served_owner(project: Project, *, served_name: str, deployment: str | None, model: str) -> Owner:
    """The one workload that claims an engine's tokens."""
    said = {"served_name": served_name, "deployment": deployment, "model": model}
    return _owner(project, said, silent=_API_ONLY)


def _said_by(rule: dict[str, Any], name: str) -> str | None:
    """What a rule says of a name: one vendor's workspace is another's project."""
    return rule["workspace"] or rule["project"] if name == "workspace" else rule[name]


def _owner(project: Project, said: dict[str, str | None], *, silent: tuple[str, ...]) -> Owner:
    claiming = {
        workload["workload"]: workload["team"]
        for workload in project.config["workloads"]
        for rule in workload["match"]
        if all(rule[name] is None for name in silent)
        and all(_said_by(rule, name) in (None, value) for name, value in said.items())
    }
    if len(claiming) != 1:
        return Owner(UNASSIGNED, None)
    (found,) = claiming.items()
    return Owner(*found)


def deployment_of_engine(project: Project, *, host: str, served_name: str, day: date) -> str | None:
    """Declared by served name, on its host before any other; else by host. Two candidates are none."""
    declared = list(in_force(project.config["deployments"], day))
    named = {one["deployment"] for one in declared if served_name in one["served_names"]}
    hosted = {one["deployment"] for one in declared if host in one["hosts"]}
    best = (named & hosted) or named or hosted
    return best.pop() if len(best) == 1 else None


def deployment_of_host(project: Project, *, host: str, day: date) -> str | None:
    hosted = {one["deployment"] for one in in_force(project.config["deployments"], day) if host in one["hosts"]}
    return hosted.pop() if len(hosted) == 1 else None


def allowance(capacity: dict[str, Any]) -> Fraction:
    """The share of a replica-hour that may be filled: declared, else assumed to be 0.85."""
    declared = capacity["peak_allowance"]
    return Fraction(85, 100) if declared is None else Fraction(declared)


def deployment(project: Project, name: str) -> dict[str, Any]:
    return next(one for one in project.config["deployments"] if one["deployment"] == name)
