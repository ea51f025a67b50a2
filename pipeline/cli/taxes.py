"""`costs --taxes`: what each resource was charged, and the taxes on it."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.cli.options import console, emit, open_project, period, print_table, snapshot_for
from pipeline.economics.exact import to_places
from pipeline.economics.taxes import Charge, Loaded, loaded
from pipeline.formats.currency import minor_digits, money
from pipeline.formats.writing import printable
from pipeline.reports.figures import counted
from pipeline.reports.questions import Questions

_SHOWN = 20
_COLUMNS = ("charged", "tax", "with_tax")


def answer_taxes(
    folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None, output_format: str
) -> None:
    """Resources of bills whose months begin in the period, dearest first, each in its own currency."""
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    from_date, to_date = period(snapshot, from_text, to_text)
    with Questions(snapshot) as questions:
        lines = questions.ask("taxed_lines", from_date=from_date, to_date=to_date).to_dicts()
    charges = [(row["is_tax"], _charge(row)) for row in lines]
    found = loaded(
        (one for is_tax, one in charges if not is_tax),
        (one for is_tax, one in charges if is_tax),
        digits=minor_digits,
    )
    found.sort(key=lambda one: (one.currency, -one.charged - one.tax, one.account, one.resource_id or ""))
    if output_format != "table":
        emit(_frame(found), output_format)
        return
    title = f"Resources with the taxes on them, billing months that begin {from_date} to {to_date} (end excluded)"
    if not any(one.tax for one in found):
        console().print(f"{title}: no bill has a tax line.")
        return
    cells = [
        [one.account, one.resource_id or "no resource", *(money(amount, one.currency) for amount in _amounts(one))]
        for one in found[:_SHOWN]
    ]
    print_table(["account", "resource", "charged", "tax", "with tax"], cells, title)
    for currency in sorted({one.currency for one in found}):
        own = [one for one in found if one.currency == currency]
        whole = Loaded(
            "",
            currency,
            None,
            sum((one.charged for one in own), Fraction(0)),
            sum((one.tax for one in own), Fraction(0)),
        )
        charged, tax, both = (money(amount, currency) for amount in _amounts(whole))
        more = f" of all {counted(len(own), 'row')}" if len(own) > _SHOWN else ""
        console().print(printable(f"Sum{more}: {charged} charged, {tax} of taxes, {both} together."), markup=False)
    console().print("A tax is on what its line of the bill names; in every other table it is a charge of its own.")


def _charge(row: Mapping[str, Any]) -> Charge:
    return Charge(
        account=row["account"],
        bill=row["bill"],
        currency=row["billing_currency"],
        service=row["service"],
        meter=row["meter"],
        resource_id=row["resource_id"],
        amount=Fraction(row["billed_cost"]),
    )


def _amounts(one: Loaded) -> tuple[Decimal, Decimal, Decimal]:
    return to_places(one.charged, 18), to_places(one.tax, 18), to_places(one.charged + one.tax, 18)


def _frame(found: list[Loaded]) -> pl.DataFrame:
    rows = [
        {
            "account": one.account,
            "resource_id": one.resource_id,
            "billing_currency": one.currency,
            **{f"{name}_cost": amount for name, amount in zip(_COLUMNS, _amounts(one), strict=True)},
        }
        for one in found
    ]
    schema = {
        **dict.fromkeys(("account", "resource_id", "billing_currency"), pl.String()),
        **dict.fromkeys((f"{name}_cost" for name in _COLUMNS), pl.Decimal(38, 18)),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
