"""What changed since the month before, and why: effects that sum to the change, to the cent as they are written."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from markupsafe import Markup

from pipeline.charts import drawing, palette
from pipeline.charts.changes import ChangeStep, changes_chart
from pipeline.economics.bridge import Bridge
from pipeline.formats.currency import minor_digits
from pipeline.reports import figures
from pipeline.reports.bridge import (
    NOTE,
    TITLES,
    WORDS,
    MonthBridge,
    changes_of_groups,
    largest,
    month_bridge,
    rounded_effects,
)
from pipeline.reports.page import Block, Column, Figure, Legend, Note, Row, Section, Table
from pipeline.reports.sections.month import Month, marked

_TITLE = "What changed, and why"
_MOST_GROUPS = 20
_REALIZED = "billed, else effective or accrued"


def changes(month: Month) -> Section:
    """From the month before to this one; of a month that is not over, as many of its days as are settled."""
    found = month_bridge(month.asks, first_day=month.from_date)
    if found.why_not:
        return Section("changes", _TITLE, found.why_not)
    written = _Written(found, minor_digits(month.currency))
    refused = month.proof.of_money()
    blocks: list[Block] = [_waterfall(month, found, written), _effects(month, found, written, refused)]
    blocks.extend(Note(note, is_warning=True) for note in found.notes)
    blocks.append(_groups(month, found, written, refused))
    return Section("changes", _TITLE, marked(_sentence(month, found, written), refused), blocks)


class _Written:
    """Costs and effects as they are written: each column sums to its last digit. The lanes and their sum are each
    rounded: the last digit of a row may be one apart.
    """

    def __init__(self, found: MonthBridge, digits: int) -> None:
        self._digits = digits
        self.present = found.present
        costs: list[Bridge | MonthBridge] = [*found.lanes.values(), found]
        self.before = [self._written(one.before_cost) for one in costs]
        self.after = [self._written(one.after_cost) for one in costs]
        stored, written = rounded_effects(found, _PLACES), rounded_effects(found, digits)
        self.effects = {
            effect: [
                _Sum(exact=Decimal(one).scaleb(-_PLACES), written=Decimal(other).scaleb(-digits))
                for one, other in zip(stored[effect], written[effect], strict=True)
            ]
            for effect in self.present
        }

    def change(self) -> "_Sum":
        before, after = self.before[-1], self.after[-1]
        return _Sum(exact=after.exact - before.exact, written=after.written - before.written)

    def _written(self, exact: Fraction) -> "_Sum":
        units = round(exact * 10**self._digits)
        return _Sum(exact=_decimal(exact), written=Decimal(units).scaleb(-self._digits))


@dataclass(frozen=True, kw_only=True)
class _Sum:
    """An amount to 18 places, and as it is written."""

    exact: Decimal
    written: Decimal

    def text(self, month: Month) -> str:
        """What is not zero is not written as zero."""
        shown = self.written or (_LEAST if self.exact > 0 else -_LEAST if self.exact else Decimal(0))
        return figures.Written(month.money(shown), self.exact)


_PLACES = 18
_LEAST = Decimal("1e-18")


def _effects(month: Month, found: MonthBridge, written: _Written, refused: tuple[str, ...]) -> Table:
    currency = month.currency
    return Table(
        name="changes",
        caption=f"From {found.before.in_words()} to {found.after.in_words()}",
        columns=(
            Column("What"),
            *(
                Column(title, currency, is_number=True, measure=_REALIZED)
                for title in (*(TITLES[lane] for lane in found.lanes), "Together")
            ),
            Column("Mostly", is_prose=True),
        ),
        rows=(
            Row(
                (found.before.in_words(), *(one.text(month) for one in written.before), ""),
                refused=refused,
                kind="total",
            ),
            *(
                Row((WORDS[effect], *_moves(month, written, effect), _mostly(month, found, effect)))
                for effect in written.present
            ),
            Row(
                (found.after.in_words(), *(one.text(month) for one in written.after), _accrued(month, found)),
                refused=refused,
                kind="total",
            ),
        ),
        note=f"{NOTE} Cost is what was billed; of GPUs effective or accrued where no bill says it.",
    )


def _moves(month: Month, written: _Written, effect: str) -> list[str]:
    """Nothing where a lane has no such effect."""
    return [one.text(month) if one.exact else "" for one in written.effects[effect]]


def _within(effect: str) -> str:
    """Its words within a sentence."""
    words = WORDS[effect]
    return words if words.startswith("GPU") else words[:1].lower() + words[1:]


def _mostly(month: Month, found: MonthBridge, effect: str) -> str:
    return "; ".join(f"{name} {month.money(_decimal(cost))}" for name, cost in largest(found, effect))


def _decimal(amount: Fraction) -> Decimal:
    return Decimal(round(amount * 10**18)).scaleb(-18)


def _accrued(month: Month, found: MonthBridge) -> str:
    _, accrued = found.accrued
    return f"of which accrued {month.money(accrued)}" if accrued else ""


def _groups(month: Month, found: MonthBridge, written: _Written, refused: tuple[str, ...]) -> Table:
    """What moved by workload and deployment, most first; what is left in one row."""
    moved = changes_of_groups(found)
    shown, rest = moved[:_MOST_GROUPS], moved[_MOST_GROUPS:]
    rows = [
        Row(
            (
                figures.visible(one.group),
                TITLES[one.lane],
                month.money(_decimal(one.cost)),
                ", ".join(f"{_within(name)} {month.money(_decimal(cost))}" for name, cost in one.effects),
            ),
            refused=refused,
        )
        for one in shown
    ]
    if rest:
        left = sum((one.cost for one in rest), Fraction(0))
        rows.append(Row((figures.counted(len(rest), "other"), "", month.money(_decimal(left)), "")))
    rows.append(Row(("Change", "", written.change().text(month), ""), refused=refused, kind="total"))
    return Table(
        name="changes_by_line",
        caption="The change by workload and deployment",
        columns=(
            Column("What for"),
            Column("Lane"),
            Column("Change", month.currency, is_number=True, measure=_REALIZED),
            Column("Why", is_prose=True),
        ),
        rows=tuple(rows),
    )


def _waterfall(month: Month, found: MonthBridge, written: _Written) -> Figure:
    steps = [ChangeStep(WORDS[effect], float(found.of(effect))) for effect in written.present]
    described = ", ".join(
        f"{WORDS[effect]} {month.priced(written.effects[effect][-1].written)}" for effect in written.present
    )
    return Figure(
        svg=Markup(
            drawing.as_svg(
                changes_chart(steps, currency=month.currency),
                chart_id="chart-changes",
                title="What changed, cause by cause",
                description=f"{described}.",
            )
        ),
        caption="Each cause begins where the one above it ends; the last bar is the change.",
        legend=(
            Legend("costs more", palette.MORE_COLOUR),
            Legend("costs less", palette.LESS_COLOUR),
            Legend("the change", palette.CHANGE_COLOUR),
        ),
    )


def _sentence(month: Month, found: MonthBridge, written: _Written) -> str:
    before, after = written.before[-1].written, written.after[-1].written
    change = after - before
    cost = f"{found.after.in_words()} cost {month.priced(after)}"
    if not change:
        return f"{cost}, as much as {found.before.in_words()}."
    share = figures.percent(abs(change), abs(before))
    by_size = sorted(found.present, key=lambda effect: (-abs(found.of(effect)), effect))[:2]
    causes = " and ".join(
        f"{_within(effect)} ({month.priced(written.effects[effect][-1].written)})" for effect in by_size
    )
    return (
        f"{cost}, {month.priced(abs(change))} ({share}) "
        f"{'more' if change > 0 else 'less'} than {found.before.in_words()} with {month.priced(before)}: most of it "
        f"{causes}."
    )
