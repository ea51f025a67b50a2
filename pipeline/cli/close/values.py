"""What somebody types of an invoice: its month, names, amounts, currency; and what may be off."""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import click
import polars as pl
from babel.numbers import list_currencies

from pipeline.build.closing_tables import parse_amount, parse_month, parse_name, parse_reason
from pipeline.decisions.graph import current_snapshot
from pipeline.errors import BuildError
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.reports.closing import Tolerances
from pipeline.reports.questions import Questions

now_option = click.option(
    "--as-of", "as_of", default=None, metavar="MOMENT", help="Pretend that now is this moment (UTC)."
)


def month_of(text: str) -> date:
    try:
        return parse_month(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--month") from None


def name_of(text: str, option: str) -> str:
    try:
        return parse_name(text, option)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint=option) from None


def amount_of(text: str, option: str) -> Decimal:
    try:
        return parse_amount(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint=option) from None


def reason_of(text: str) -> str:
    try:
        return parse_reason(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--reason") from None


def currency_of(project: Project, text: str, *, option: str = "--currency") -> str:
    """A code of ISO 4217, or a currency that a bill that was built has: a virtual one has no such code."""
    if text in list_currencies():
        return text
    try:
        with Questions(current_snapshot(project)) as questions:
            billed = questions.select("select distinct billing_currency from int_billed_lines_daily")
    except BuildError:
        billed = pl.DataFrame({"billing_currency": []})
    if text in billed["billing_currency"].to_list():
        return text
    raise click.BadParameter(
        printable(f"{text!r} is no currency of ISO 4217, and no bill is in it. Write its three letters, as USD."),
        param_hint=option,
    )


_TOLERANCE = re.compile(r"(?:([^=]+)=)?(.*)", re.DOTALL)


def tolerances_of(project: Project, texts: Sequence[str]) -> Tolerances:
    """Raises BadParameter for one that would be of nothing: below zero, of no currency, or given another time."""
    found_for: dict[str | None, Decimal] = {}
    for text in texts:
        found = _TOLERANCE.fullmatch(text)
        assert found is not None
        amount = amount_of(found[2], "--tolerance")
        if amount < 0:
            raise click.BadParameter(f"{text!r} is below zero.", param_hint="--tolerance")
        currency = None if found[1] is None else currency_of(project, found[1], option="--tolerance")
        if currency in found_for:
            raise click.BadParameter(f"{currency or 'all'} has two of them.", param_hint="--tolerance")
        found_for[currency] = amount
    of_all = found_for.pop(None, Tolerances().of_all)
    return Tolerances(of_all, {str(currency): amount for currency, amount in found_for.items()})
