"""Controls beside the book of record: what is stated a second time, and how far from what is summed.

Reads other tables of the oracle for what is on cloud bills and on the books of APIs. An API's control is read by the
module that knows its format and handed in as `api_controls`; one that nobody reads is refused aloud.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle import openai
from tests.oracle.coverage import Coverage
from tests.oracle.landed import DAY, Project, midnight

Rows = dict[tuple[Any, ...], dict[str, Any]]

_DATASETS = {
    "anthropic_cost_api": "cost_report",
    "anthropic_console_csv": "console_cost",
    "openai_costs_api": "costs",
    "openai_dashboard_csv": "cost",
}
_CURRENCY_OF_A_CLOUD_CHARGE = 20  # its place in the grain


class Export(NamedTuple):
    """One dataset that states a bill: `issuer` and `account` are the bill's."""

    issuer: str
    account: str
    source: str
    dataset: str


class Stated(NamedTuple):
    """What an export states of a day: money of a model (None: it names none)."""

    usage_date: date
    export: Export
    is_book: bool
    model: str | None
    currency: str
    cost: Fraction


def control_rows(
    project: Project,
    coverage: Coverage,
    *,
    api_costs: Rows,
    cloud_charges: Rows,
    api_controls: Iterable[Stated] = (),
) -> Rows:
    """fct_control_differences_daily."""
    stated = [*_api_books(api_costs), *_cloud(cloud_charges), *api_controls]
    known = {(one.export.source, one.export.account) for one in stated}
    for source in project.config["sources"]:
        named = source["source"], source["account"]
        if source["role"] == "control" and source["source"] in _DATASETS and named not in known:
            raise ValueError(f"{named} is a control: the oracle does not read it")
    by_month: dict[date, list[Stated]] = defaultdict(list)
    for one in stated:
        by_month[one.usage_date.replace(day=1)].append(one)
    rows: Rows = {}
    for month, said in by_month.items():
        books = {(one.export.issuer, one.export.account): one.export for one in said if one.is_book}
        for control in {one.export for one in said if not one.is_book}:
            book = books.get((control.issuer, control.account))
            rows |= _pair(coverage, month, said, book=book, control=control)
    return rows


def _api_books(costs: Rows) -> Iterable[Stated]:
    for key, row in costs.items():
        day, _, issuer, account, _, _, model = key[:7]
        if row["billed_cost"] is not None:
            export = Export(issuer, account, row["source"], _DATASETS[row["source"]])
            yield Stated(day, export, True, model, key[13], row["billed_cost"])


def openai_dashboard(lines: Iterable[openai.Line]) -> Iterator[Stated]:
    """The dashboard's export as a control of OpenAI's own bill."""
    for line in lines:
        export = Export(openai.PROVIDER, line.account, openai.DASHBOARD, _DATASETS[openai.DASHBOARD])
        yield Stated(line.usage_date, export, False, line.model, line.currency, Fraction(line.quanta, 10**18))


def _cloud(charges: Rows) -> Iterable[Stated]:
    for key, row in charges.items():
        day, source, dataset, account = key[:4]
        export = Export(row["issuer"], account, source, dataset)
        yield Stated(day, export, row["is_book"], None, key[_CURRENCY_OF_A_CLOUD_CHARGE], row["billed_cost"])


def _pair(coverage: Coverage, month: date, said: list[Stated], *, book: Export | None, control: Export) -> Rows:
    rows: Rows = {}
    spoken = {export: _whole_days(coverage, export, month) for export in (book, control) if export is not None}
    for day in sorted({day for days in spoken.values() for day in days}):
        charges = {export: [one for one in said if (one.export, one.usage_date) == (export, day)] for export in spoken}
        on_book, on_control = charges.get(book, []) if book else [], charges[control]
        for (model, currency), (book_cost, control_cost) in _matched(on_book, on_control).items():
            status = _status(
                currency,
                is_book_whole=spoken[book].get(day) if book else None,
                is_control_whole=spoken[control].get(day),
                currencies=[{one.currency for one in side} for side in (on_book, on_control)],
            )
            if status == "compared":
                book_cost, control_cost = book_cost or Fraction(0), control_cost or Fraction(0)
            key = (day, control.issuer, control.account, control.source, control.dataset, control.account)
            rows[(*key, model, currency)] = {
                "book_source": book and book.source,
                "book_dataset": book and book.dataset,
                "control_measure": "billed",
                "status": status,
                "book_cost": book_cost,
                "control_cost": control_cost,
                "difference_cost": (control_cost or 0) - (book_cost or 0) if status == "compared" else None,
            }
    return rows


def _whole_days(coverage: Coverage, export: Export, month: date) -> Mapping[date, bool]:
    """Day of the month that the export speaks for -> whether it was over when that was said."""
    return {
        day: covered.stated_at >= midnight(day) + DAY
        for (day, source, account, dataset), covered in coverage.items()
        if (account, source, dataset) == export[1:] and day.replace(day=1) == month
    }


def _matched(
    on_book: list[Stated], on_control: list[Stated]
) -> dict[tuple[str | None, str], tuple[Fraction | None, Fraction | None]]:
    """(model that both name, else None; currency) -> what each side states, None where it has no line."""
    alike = {one.model for one in on_book} & {one.model for one in on_control}
    sides: list[dict[tuple[str | None, str], Fraction]] = []
    for said in (on_book, on_control):
        sums: dict[tuple[str | None, str], Fraction] = defaultdict(Fraction)
        for one in said:
            sums[one.model if one.model in alike else None, one.currency] += one.cost
        sides.append(sums)
    return {key: (sides[0].get(key), sides[1].get(key)) for key in sides[0].keys() | sides[1].keys()}


def _status(
    currency: str, *, is_book_whole: bool | None, is_control_whole: bool | None, currencies: list[set[str]]
) -> str:
    if is_book_whole is None:
        return "control_only"
    if is_control_whole is None:
        return "book_only"
    if not (is_book_whole and is_control_whole):
        return "day_not_over"
    return "compared" if all(not said or currency in said for said in currencies) else "other_currency"
