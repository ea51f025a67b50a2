"""All versions folded into one table: which row of each thing is valid on which days."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from pipeline.build.config_tables.ownership import matched
from pipeline.build.config_tables.table import ConfigTable, Row
from pipeline.build.config_tables.versions import Version
from pipeline.config.whole import Config


class _Span(NamedTuple):
    """What is said of one thing on the days [start, end); date.min and date.max are open ends."""

    start: date
    end: date
    row: Row


_Spans = list[_Span]
_Said = dict[Hashable, _Spans]


@dataclass(frozen=True)
class History:
    """The fold of all versions into one table."""

    table: ConfigTable

    def of(self, versions: Sequence[Version]) -> list[Row]:
        """The rows, each with the days on which it is valid. Equal neighbours are one row."""
        known: _Said = {}
        said_before: _Said = {}
        days_before: frozenset[Hashable] = frozenset()
        for version in versions:
            said = self._said(version.config)
            for thing in {**known, **said}:
                now = said.get(thing, [])
                if not version.amends and now == said_before.get(thing, []):
                    continue
                before = _cut(known.get(thing, []), date.min, version.from_date)
                if self.table.owner and not version.amends:
                    before = self._dated(before, now, version.from_date, days_before)
                known[thing] = _joined([*before, *_cut(now, version.from_date, date.max)])
            said_before, days_before = said, frozenset(_days_said(version.config))
        return [_valid(span) for spans in known.values() for span in spans]

    def _said(self, config: Config) -> _Said:
        """What one version says of each thing, of all days."""
        said: _Said = {}
        naming = (*self.table.owner, *self.table.further)
        for row in self.table.rows(config):
            start, end = row.pop("valid_from_date", None) or date.min, row.pop("valid_to_date", None) or date.max
            thing = tuple(row[column] for column in naming) if self.table.owner else tuple(row.values())
            spans = said.setdefault(thing, [])
            if _Span(start, end, row) not in spans:
                spans.append(_Span(start, end, row))
        return {thing: sorted(spans, key=lambda span: span.start) for thing, spans in said.items()}

    def _dated(self, before: _Spans, now: _Spans, until: date, days_before: frozenset[Hashable]) -> _Spans:
        """The days before an edit. Only a `from` or a `to` that the version before did not say changes them, as dated.

        What else an edit says, it says of the days from when it landed: so a price changed in its place prices no past.
        """

        def is_new(day: date, row: Row) -> bool:
            whose = (row[name] for name in self.table.owner)
            return day not in (date.min, date.max) and (*whose, day) not in days_before

        spans = before
        for span, following in pairwise([*now, _Span(until, until, {})]):
            if is_new(span.start, span.row):
                spans = _over(spans, span.start, min(span.end, until), [span])
            if is_new(span.end, span.row):
                spans = _over(spans, span.end, min(following.start, until), [])
        return spans


def _days_said(config: Config) -> Iterator[Hashable]:
    """Every `from` and `to` of a version, after whose it is."""
    for resource in config.gpu_resources:
        yield resource.issuer, resource.resource_id, resource.valid_from
        yield resource.issuer, resource.resource_id, resource.valid_to
    for deployment in config.deployments:
        yield deployment.deployment, deployment.valid_from
    for contract in config.contracts:
        yield contract.provider, contract.account, contract.valid_from
        yield contract.provider, contract.account, contract.valid_to
    for model in config.models:
        yield model.provider, model.model, model.valid_from
        yield model.provider, model.model, model.valid_to
    for budget in config.budgets:
        yield *budget.scope, budget.valid_from
        yield *budget.scope, budget.valid_to
    for service in config.per_use:
        yield service.service, service.valid_from
        yield service.service, service.valid_to
    for said in config.ownership:
        rule = matched(said).values()
        yield *rule, said.valid_from
        yield *rule, said.valid_to


def _over(spans: _Spans, start: date, end: date, others: _Spans) -> _Spans:
    """The first, with what the others say of the days [start, end)."""
    if start >= end:
        return spans
    return [*_cut(spans, date.min, start), *_cut(others, start, end), *_cut(spans, end, date.max)]


def _cut(spans: Iterable[_Span], start: date, end: date) -> _Spans:
    """What is said of the days [start, end)."""
    cut = [_Span(max(span.start, start), min(span.end, end), span.row) for span in spans]
    return [span for span in cut if span.start < span.end]


def _joined(spans: _Spans) -> _Spans:
    joined: _Spans = []
    for span in spans:
        if joined and joined[-1].end == span.start and joined[-1].row == span.row:
            joined[-1] = joined[-1]._replace(end=span.end)
        else:
            joined.append(span)
    return joined


def _valid(span: _Span) -> Row:
    return {
        **span.row,
        "valid_from_date": None if span.start == date.min else span.start,
        "valid_to_date": None if span.end == date.max else span.end,
    }
