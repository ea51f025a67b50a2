"""Which figures a broken law refuses: those made from the scope it was broken in, and no others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.decisions.check_results import CheckResult, refused_scopes

EVERYTHING = "all"
# The kinds of scope by the column of `scope_feeds`, or the name of a figure, that says which one.
_KINDS: Mapping[str, str] = {
    "account": "account",
    "issuer": "issuer",
    "host": "host",
    "deployment_id": "deployment",
    "workload": "workload",
    "model": "model",
}
# What flows into a figure. A law broken downstream (a workload's) says nothing of the account it draws from.
_MONEY_COMES_FROM = ("account", "issuer")
_TIME_COMES_FROM = ("account", "issuer", "host")
# What a team is charged is what its workloads claim.
_TEAM_COMES_FROM = (*_MONEY_COMES_FROM, "workload")


@dataclass(frozen=True)
class Proof:
    """`broken`: scope -> laws. `feeds`: rows of `scope_feeds`, which figure is made from which scopes."""

    broken: Mapping[str, Sequence[str]]
    feeds: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, results: Iterable[CheckResult], feeds: Sequence[Mapping[str, Any]]) -> "Proof":
        broken: dict[str, list[str]] = {}
        for scope, laws in refused_scopes(results).items():
            broken.setdefault(_known(scope), []).extend(laws)
        return cls(broken, feeds)

    def of_money(self, **named: str | None) -> tuple[str, ...]:
        """Laws that refuse money of exactly these accounts, issuers, models, lanes."""
        return self._laws({*_scopes(named), *self._sources(named, _MONEY_COMES_FROM)})

    def of_team(self, *, account: str, team: str | None) -> tuple[str, ...]:
        """Laws that refuse what a team spends on an API account: of the account, and of the team's workloads there.

        Traffic that belongs to no workload, or to two, is no team's (None).
        """
        named = {"lane": "api", "account": account, "team": team}
        return self._laws({*_scopes(named), *self._sources(named, _TEAM_COMES_FROM)})

    def of_time(self, **named: str | None) -> tuple[str, ...]:
        """Laws that refuse GPU time, and what is made from it, of exactly these deployments or issuers."""
        return self._laws({*_scopes(named), *self._sources(named, _TIME_COMES_FROM)})

    def of_workload(self, workload: str, *, deployment_id: str | None) -> tuple[str, ...]:
        """Laws that refuse a verdict: of the workload, of what serves it, of the accounts and hosts behind both."""
        served_by = {feed["deployment_id"] for feed in self.feeds if feed["workload"] == workload}
        served_by = {found for found in {*served_by, deployment_id} if found is not None}
        scopes = {*_scopes({"workload": workload}), *self._sources({"workload": workload}, _TIME_COMES_FROM)}
        for deployment in served_by:
            named = {"deployment_id": deployment}
            scopes |= {*_scopes(named), *self._sources(named, _TIME_COMES_FROM)}
        return self._laws(scopes)

    def _sources(self, named: Mapping[str, str | None], kinds: Sequence[str]) -> set[str]:
        return {
            scope
            for feed in self.feeds
            if all(feed[key] == value for key, value in named.items())
            for scope in _scopes({kind: feed[kind] for kind in kinds})
        }

    def _laws(self, scopes: set[str]) -> tuple[str, ...]:
        return tuple(sorted({law for scope in (*scopes, EVERYTHING) for law in self.broken.get(scope, ())}))


def _known(scope: str) -> str:
    """A scope of a kind that no figure names would refuse nothing: it refuses everything."""
    return scope if scope.partition(":")[0] in _KINDS.values() else EVERYTHING


def _scopes(named: Mapping[str, str | None]) -> set[str]:
    """As checks spell them: `account:acme`. A workload and an account of one name are two scopes."""
    return {f"{_KINDS[name]}:{value}" for name, value in named.items() if name in _KINDS and value is not None}
