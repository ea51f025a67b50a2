"""Unit costs: what a million tokens cost, by lane, model and token class."""

from collections.abc import Sequence

from pipeline.formats.currency import priced
from pipeline.reports import figures
from pipeline.reports.page import Column, Note, Row, Section, Table
from pipeline.reports.sections.month import (
    TOKEN_CLASSES,
    Answer,
    Month,
    marked,
    served_by,
)
from pipeline.reports.token_costs import splits_in_words


def unit_costs(month: Month) -> Section:
    """Full, active and marginal cost of a million tokens, by class and blended."""
    lines = sorted(month.ask("unit_costs_by_class"), key=_unit_order)
    blended = [line for line in lines if line["token_class"] == "blended"]
    uncounted = sum(line["uncounted_days_count"] for line in blended)
    note = (
        "Full: the whole bill of what served, over the tokens it served. Active: its serving hours alone. Marginal: "
        "one token more; nothing while there is room, the full price on the API. Undefined: no token was counted."
    )
    if uncounted:
        note += (
            f" {figures.counted(uncounted, 'deployment-day')} had a cost but no token count: "
            "they are in spend and waste, and in no price here."
        )
    rows = [
        Row(
            (
                figures.name(line["model"], "no model") if line["token_class"] == "blended" else _class(line),
                served_by(line) if line["token_class"] == "blended" else "",
                figures.name(line["cost_measure"]),
                figures.millions(line["tokens"]),
                price_of(line, "full_rc_per_mtok"),
                price_of(line, "active_rc_per_mtok"),
                price_of(line, "marginal_rc_per_mtok"),
                _split_by(line),
            ),
            refused=laws_of_price(month, line) if line["token_class"] == "blended" else (),
            kind="line" if line["token_class"] == "blended" else "part",
        )
        for line in lines
    ]
    unit = f"{month.currency} per 1M tokens"
    table = Table(
        name="unit_costs",
        caption="Cost of a million tokens, blended and by token class",
        columns=(
            Column("Model and class"),
            Column("Served by"),
            Column("Measure"),
            Column("Tokens", "million", is_number=True),
            Column("Full", unit, is_number=True),
            Column("Active", unit, is_number=True),
            Column("Marginal", unit, is_number=True),
            Column("Classes split by"),
        ),
        rows=tuple(rows),
        note=note,
    )
    splits = [Note(f"Classes of {text}") for text in splits_in_words(month.ask("token_class_weights"))]
    return Section("unit-costs", "Unit costs", _unit_sentence(month, blended), (table, *splits))


def _split_by(line: Answer) -> str:
    if line["token_class"] != "blended":
        return ""
    return figures.name(line["class_weight_methods"]).replace("_", " ")


def _unit_order(line: Answer) -> tuple[object, ...]:
    """Lane, model and what serves it, as asked; then the whole before its classes, in the order of a request."""
    names = tuple(str(line[name] or "") for name in ("lane", "model", "deployment_id", "provider", "cost_measure"))
    token_class = line["token_class"]
    place = TOKEN_CLASSES.index(token_class) if token_class in TOKEN_CLASSES else len(TOKEN_CLASSES)
    return (*names, place, token_class)


def _class(line: Answer) -> str:
    return figures.name(line["token_class"]).replace("_", " ")


def price_of(line: Answer, column: str) -> str:
    if not line["tokens"]:
        return "undefined"
    return "unknown" if line[column] is None else figures.per_mtok(line[column])


def laws_of_price(month: Month, line: Answer) -> tuple[str, ...]:
    if line["lane"] == "per_use":
        issuers = [] if line["provider"] is None else line["provider"].split("+")
        return tuple(sorted({law for issuer in issuers for law in month.proof.of_money(issuer=issuer)}))
    if line["deployment_id"] is not None:
        return month.proof.of_time(deployment_id=line["deployment_id"])
    return month.proof.of_money(lane=line["lane"], provider=line["provider"], model=line["model"])


def _unit_sentence(month: Month, blended: Sequence[Answer]) -> str:
    defined = [line for line in blended if line["full_rc_per_mtok"] is not None]
    if not defined:
        return "Nothing that was paid for served a counted token: no price per token is defined."
    low = min(defined, key=lambda line: (line["full_rc_per_mtok"], served_by(line)))
    high = max(defined, key=lambda line: (line["full_rc_per_mtok"], served_by(line)))
    if low is high:
        return f"A million tokens of {figures.name(low['model'], 'no model')} cost {_full(month, low)} in full."
    return (
        f"A million tokens cost from {_full(month, low)} ({figures.name(low['model'], 'no model')}, {served_by(low)}) "
        f"to {_full(month, high)} ({figures.name(high['model'], 'no model')}, {served_by(high)}) in full."
    )


def _full(month: Month, line: Answer) -> str:
    text = figures.per_mtok(line["full_rc_per_mtok"])
    return marked(priced(text, month.currency), laws_of_price(month, line))
