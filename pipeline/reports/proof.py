"""Which figures a broken law refuses: those made from the scope it was broken in, and no others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.decisions.check_results import CheckResult, refused_scopes

EVERYTHING = "all"
_KINDS = ("account", "issuer", "host", "deployment", "workload", "model", "team")
# What flows into a figure. A law broken downstream (a workload's) says nothing of the account it draws from.
_MONEY_COMES_FROM = ("account", "issuer")
_TIME_COMES_FROM = ("account", "issuer", "host")


@dataclass(frozen=True)
class Proof:
    """`broken`: scope -> laws. `feeds`: rows of `scope_feeds`, which figure is made from which scopes."""

    broken: Mapping[str, Sequence[str]]
    feeds: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, results: Iterable[CheckResult], feeds: Sequence[Mapping[str, Any]]) -> "Proof":
        return cls({_plain(scope): laws for scope, laws in _grouped(results).items()}, feeds)

    def of_money(self, **named: str | None) -> tuple[str, ...]:
        """Laws that refuse money of exactly these accounts, issuers, models, lanes."""
        return self._laws({*_values(named), *self._sources(named, _MONEY_COMES_FROM)})

    def of_time(self, **named: str | None) -> tuple[str, ...]:
        """Laws that refuse GPU time, and what is made from it, of exactly these deployments or issuers."""
        return self._laws({*_values(named), *self._sources(named, _TIME_COMES_FROM)})

    def of_workload(self, workload: str, *, deployment_id: str | None) -> tuple[str, ...]:
        """Laws that refuse a verdict: of the workload, of what serves it, of the accounts and hosts behind both."""
        served_by = {feed["deployment_id"] for feed in self.feeds if feed["workload"] == workload}
        served_by = {found for found in {*served_by, deployment_id} if found is not None}
        scopes = {workload, *served_by, *self._sources({"workload": workload}, _TIME_COMES_FROM)}
        for deployment in served_by:
            scopes |= self._sources({"deployment_id": deployment}, _TIME_COMES_FROM)
        return self._laws(scopes)

    def _sources(self, named: Mapping[str, str | None], kinds: Sequence[str]) -> set[str]:
        return {
            feed[kind]
            for feed in self.feeds
            if all(feed[key] == value for key, value in named.items())
            for kind in kinds
            if feed[kind] is not None
        }

    def _laws(self, scopes: set[str]) -> tuple[str, ...]:
        return tuple(sorted({law for scope in (*scopes, EVERYTHING) for law in self.broken.get(scope, ())}))


def _values(named: Mapping[str, str | None]) -> set[str]:
    return {value for value in named.values() if value is not None}


def _grouped(results: Iterable[CheckResult]) -> dict[str, list[str]]:
    return refused_scopes(results)


def _plain(scope: str) -> str:
    """`account:acme` and `acme` are the same scope."""
    kind, _, tail = scope.partition(":")
    return tail if tail and kind in _KINDS else scope
