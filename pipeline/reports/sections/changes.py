"""What changed since the month before, and why: effects that sum to the change, to the cent as they are written."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from markupsafe import Markup

from pipeline import charts
from pipeline.economics.bridge import rounded_to_sum
from pipeline.formats.currency import minor_digits
from pipeline.reports import figures
from pipeline.reports.bridge import API, GPUS, NOTE, WORDS, MonthBridge, changes_of_groups, largest, month_bridge
from pipeline.reports.page import Block, Column, Figure, Legend, Note, Row, Section, Table
from pipeline.reports.sections.month import Month, marked

_TITLE = "What changed, and why"
_MOST_GROUPS = 20
_LANES: Mapping[str, str] = {API: "API", GPUS: "GPUs"}


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
    """Costs and effects in whole minor units, a lane a column: each column sums, and so does each row."""

    def __init__(self, found: MonthBridge, digits: int) -> None:
        self._digits = digits
        self.present = found.present
        self.before = {lane: round(one.before_cost * 10**digits) for lane, one in found.lanes.items()}
        self.after = {lane: round(one.after_cost * 10**digits) for lane, one in found.lanes.items()}
        self.effects = {
            lane: dict(
                zip(
                    self.present,
                    rounded_to_sum(
                        [one.of(effect) * 10**digits for effect in self.present], self.after[lane] - self.before[lane]
                    ),
                    strict=True,
                )
            )
            for lane, one in found.lanes.items()
        }

    def money(self, units: int) -> Decimal:
        return Decimal(units).scaleb(-self._digits)

    def row(self, units: Mapping[str, int]) -> tuple[Decimal, ...]:
        """Each lane, then both together."""
        return (*(self.money(units[lane]) for lane in _LANES), self.money(sum(units.values())))

    def of(self, effect: str) -> tuple[Decimal, ...]:
        return self.row({lane: found[effect] for lane, found in self.effects.items()})


def _effects(month: Month, found: MonthBridge, written: _Written, refused: tuple[str, ...]) -> Table:
    currency = month.currency
    return Table(
        caption=f"From {found.before.in_words()} to {found.after.in_words()}",
        columns=(
            Column("What"),
            *(Column(title, currency, is_number=True) for title in (*_LANES.values(), "Together")),
            Column("Mostly", is_prose=True),
        ),
        rows=(
            Row(
                (found.before.in_words(), *map(month.money, written.row(written.before)), ""),
                refused=refused,
                kind="total",
            ),
            *(
                Row((WORDS[effect], *_moves(month, found, effect, written.of(effect)), _mostly(month, found, effect)))
                for effect in written.present
            ),
            Row(
                (found.after.in_words(), *map(month.money, written.row(written.after)), _accrued(month, found)),
                refused=refused,
                kind="total",
            ),
        ),
        note=f"{NOTE} Cost is what was billed; of GPUs effective or accrued where no bill says it.",
    )


def _moves(month: Month, found: MonthBridge, effect: str, written: Sequence[Decimal]) -> list[str]:
    """Nothing where a lane has no such effect; what is less than the least unit is not written as zero."""
    exact = [found.lanes[lane].of(effect) for lane in _LANES]
    return [
        "" if not true else month.money(amount or _tiny(true))
        for true, amount in zip((*exact, sum(exact, Fraction(0))), written, strict=True)
    ]


def _tiny(amount: Fraction) -> Decimal:
    return Decimal("1e-18") if amount > 0 else Decimal("-1e-18")


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
                _LANES[one.lane],
                month.money(_decimal(one.cost)),
                ", ".join(f"{WORDS[name].lower()} {month.money(_decimal(cost))}" for name, cost in one.effects),
            ),
            refused=refused,
        )
        for one in shown
    ]
    if rest:
        left = sum((one.cost for one in rest), Fraction(0))
        rows.append(Row((figures.counted(len(rest), "other"), "", month.money(_decimal(left)), "")))
    whole = written.money(sum(written.after.values()) - sum(written.before.values()))
    rows.append(Row(("Change", "", month.money(whole), ""), refused=refused, kind="total"))
    return Table(
        caption="The change by workload and deployment",
        columns=(
            Column("What for"),
            Column("Lane"),
            Column("Change", month.currency, is_number=True),
            Column("Why", is_prose=True),
        ),
        rows=tuple(rows),
    )


def _waterfall(month: Month, found: MonthBridge, written: _Written) -> Figure:
    steps = [charts.ChangeStep(WORDS[effect], float(written.of(effect)[-1])) for effect in written.present]
    described = ", ".join(f"{WORDS[effect]} {month.priced(written.of(effect)[-1])}" for effect in written.present)
    return Figure(
        svg=Markup(
            charts.as_svg(
                charts.changes_chart(steps, currency=month.currency),
                chart_id="chart-changes",
                title="What changed, cause by cause",
                description=f"{described}.",
            )
        ),
        caption="Each cause begins where the one above it ends; the last bar is the change.",
        legend=(
            Legend("costs more", charts.MORE_COLOUR),
            Legend("costs less", charts.LESS_COLOUR),
            Legend("the change", charts.CHANGE_COLOUR),
        ),
    )


def _sentence(month: Month, found: MonthBridge, written: _Written) -> str:
    before, after = (written.money(sum(ends.values())) for ends in (written.before, written.after))
    change = after - before
    if not change:
        return f"{found.after.in_words()} cost {month.priced(after)}, as much as {found.before.in_words()}."
    share = figures.percent(abs(change), abs(before))
    by_size = sorted(found.present, key=lambda effect: (-abs(found.of(effect)), effect))[:2]
    causes = " and ".join(f"{WORDS[effect].lower()} ({month.priced(written.of(effect)[-1])})" for effect in by_size)
    return (
        f"{found.after.in_words()} cost {month.priced(after)}, {month.priced(abs(change))} ({share}) "
        f"{'more' if change > 0 else 'less'} than {found.before.in_words()} with {month.priced(before)}: most of it "
        f"{causes}."
    )
