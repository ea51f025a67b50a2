"""Waste: every GPU-hour and every dollar of the GPU bills in one state, and the bill beside the sum."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from pipeline.charts import drawing, palette
from pipeline.charts.gpu_hours import BillLine, StateHours, gpu_states_chart, waterfall_chart
from pipeline.economics.idle_breakdown import (
    FAILOVER_RESERVE,
    HEADROOM,
    OVER_PROVISIONED,
    PARTS,
    SCALE_TO_ZERO,
    USEFUL,
    USEFUL_OR_HEADROOM,
)
from pipeline.explain.gpu_costs import WasteFigure
from pipeline.explain.traced import Named
from pipeline.reports import figures
from pipeline.reports.page import Block, Column, Figure, Legend, Row, Section, Table
from pipeline.reports.pools import PART_WORDS
from pipeline.reports.residuals import residual_table
from pipeline.reports.sections.line_money import amounts, cash_cells, cash_columns, cash_note, is_committed
from pipeline.reports.sections.month import (
    LINE_KINDS,
    OTHER_LINES,
    Answer,
    Month,
    by_measure,
    in_words,
    marked,
    measures_of,
    total,
)

_NO_DEPLOYMENT = "(no deployment)"
_NOT_OFFERED = ("refused", "pinned")


_MOST_BARS = 20


def waste(month: Month) -> Section:
    """Every GPU-hour and every dollar of the GPU bill in one state, and the bill beside the sum."""
    states = month.ask("gpu_states")
    bills = month.ask("gpu_bill")
    leftovers = month.ask("leftovers")
    blocks: list[Block] = []
    with_hours = [line for line in states if line["gpu_hours"]]
    if with_hours:
        blocks.append(_states_figure(month, with_hours))
    blocks.append(_states_table(month, states, bills))
    blocks.extend(_lines(month))
    blocks.extend(_pools(month))
    if bills:
        blocks.append(_bills_table(month, bills))
    blocks.extend(residual_table(month.ask("billing_residuals")))
    blocks.append(
        Table(
            name="gpu_leftovers",
            caption="What joins to nothing",
            columns=(
                Column("What"),
                Column("Issuer"),
                Column("Resource"),
                Column("Host"),
                Column("Days", is_number=True),
                Column("GPU-hours", "h", is_number=True),
            ),
            rows=tuple(
                Row(
                    (
                        figures.left_over(line["kind"], line["since_date"]),
                        figures.name(line["issuer"]),
                        figures.name(line["resource_id"]),
                        figures.name(line["host"]),
                        figures.count(line["days_count"]),
                        figures.hours(line["gpu_hours"]),
                    )
                )
                for line in leftovers
            ),
            empty="Every billed GPU was seen, and every GPU that was seen or declared is billed or agreed.",
        )
    )
    return Section("waste", "Waste", _waste_sentence(month, states), blocks)


def recommendations(month: Month) -> Section:
    """What to do, in the order in which to do it, with what each line would save alone."""
    advice = month.ask("advice")
    offered = [line for line in advice if line["status"] not in _NOT_OFFERED]
    if not advice:
        says = "Nothing to fill, to release, to switch or to buy, or nothing is known yet of what is paid for."
    else:
        counts = [
            (sum(line["advice"] == kind for line in offered), kind) for kind in ("fill", "release", "switch", "buy")
        ]
        parts = [f"{number} to {kind}" for number, kind in counts if number]
        refused = sum(line["status"] == "refused" for line in advice)
        parts += [f"{figures.counted(refused, 'release')} refused, with the reason"] if refused else []
        parts += ["what is pinned stays"] if any(line["status"] == "pinned" for line in advice) else []
        says = f"{in_words(parts)}."
    return Section("recommendations", "Recommendations", says[:1].upper() + says[1:], (_advice_table(month, advice),))


def _pools(month: Month) -> list[Table]:
    """Of each deployment what the time bought in which it was ready: its parts sum to it."""
    found = [line for line in month.ask("gpu_waste") if line["line"] in PARTS]
    measures, has_ends = measures_of(found), is_committed(found)
    rows = []
    for deployment in dict.fromkeys(line["deployment_id"] for line in found):
        own = [line for line in found if line["deployment_id"] == deployment]
        refused = month.proof.of_time(lane="self_host", deployment_id=deployment)
        whole = (
            figures.name(deployment),
            _hours_of(own),
            *amounts(month, own, measures),
            *cash_cells(month, own, measures, has_ends=has_ends),
        )
        rows.append(Row(whole, refused=refused))
        for part in PARTS:
            of_part = [line for line in own if line["line"] == part]
            if of_part:
                cells = (
                    PART_WORDS[part],
                    _hours_of(of_part),
                    *amounts(month, of_part, measures),
                    *cash_cells(month, of_part, measures, has_ends=has_ends),
                )
                rows.append(Row(cells, kind="part", swatch=_line_colour(part)))
    if not rows:
        return []
    table = Table(
        name="gpu_ready_time",
        caption="What ready time bought, by deployment",
        columns=(
            Column("Deployment and part"),
            Column("GPU-hours", "h", is_number=True),
            *(Column(measure.capitalize(), month.currency, is_number=True) for measure in measures),
            *cash_columns(month, measures, has_ends=has_ends),
        ),
        rows=tuple(rows),
    )
    return [table]


def _advice_table(month: Month, advice: Sequence[Answer]) -> Table:
    """In the order in which to do it; why of each line, and why a release is refused."""
    return Table(
        name="advice",
        caption="What to do, in this order: fill what is paid for, release what nothing needs, switch, buy. "
        "What one line saves is not what it saves after another.",
        columns=(
            Column("Advice"),
            Column("Deployment"),
            Column("Workload"),
            Column("Replicas", is_number=True),
            Column("Would fit", "million tokens a day", is_number=True),
            Column("Saving", f"{month.currency} a month", is_number=True, measure="expected"),
            Column("As of"),
            Column("Why", is_prose=True),
        ),
        rows=tuple(
            Row(
                (
                    line["advice"] if line["status"] not in _NOT_OFFERED else f"{line['advice']}: {line['status']}",
                    figures.name(line["deployment_id"]),
                    figures.name(line["workload"]),
                    figures.count(line["replica_count"]),
                    figures.millions(line["fit_tokens_per_day"]),
                    month.money(line["saving_rc_per_month"]),
                    figures.day(line["usage_date"]),
                    figures.visible(line["reason"] or "", figures.TEXT_LIMIT),
                ),
                traced=_advice_traced(line),
            )
            for line in advice
        ),
        empty="Nothing to fill, to release, to switch or to buy, or nothing is known yet of what is paid for.",
    )


def _advice_traced(line: Answer) -> Named | None:
    """What `explain` says of it: of a deployment's idle hours, or of a workload's verdict."""
    if line["advice"] in ("fill", "release") and line["deployment_id"] is not None:
        return Named(subject=line["advice"], name=line["deployment_id"], usage_date=line["usage_date"])
    if line["workload"] is not None:
        return Named(subject="verdict", name=line["workload"], usage_date=line["usage_date"])
    return None


def _waste_sentence(month: Month, states: Sequence[Answer]) -> str:
    hours = total(states, "gpu_hours", empty=None)
    if not hours:
        return "No GPU-hour is billed or agreed for this month."
    serving = total([line for line in states if line["state"] == "serving"], "gpu_hours", empty=0)
    idle = [line for line in states if line["state"] in ("loaded_idle", "unallocated")]
    says = f"{figures.percent(serving, hours)} of {figures.hours(hours)} paid GPU-hours served requests"
    if idle:
        share = figures.percent(total(idle, "gpu_hours", empty=0), hours)
        says = f"{says}; {share} stood idle: {by_measure(month, idle)}"
    else:
        says = f"{says}; none was seen idle"
    return f"{marked(says, month.proof.of_time(lane='self_host'))}."


def _deployment(line: Answer) -> str:
    return figures.name(line["deployment_id"], _NO_DEPLOYMENT)


def _states_figure(month: Month, states: Sequence[Answer]) -> Figure:
    totals: dict[str, float] = {}
    for line in states:
        totals[_deployment(line)] = totals.get(_deployment(line), 0.0) + line["gpu_hours"]
    largest = sorted(totals, key=lambda name: (-totals[name], name))[:_MOST_BARS]
    shown = [name for name in totals if name in largest]
    hours: dict[tuple[str, str], float] = {}
    for line in states:
        key = (_deployment(line), figures.visible(line["state"]))
        hours[key] = hours.get(key, 0.0) + line["gpu_hours"]
    rows = [
        StateHours(deployment=name, state=state, gpu_hours=hours[name, state])
        for name in shown
        for found, state in hours
        if found == name
    ]
    present = {row.state for row in rows}
    known = [state for state in palette.GPU_STATES if state in present]
    described = "; ".join(
        f"{name}: "
        + ", ".join(f"{palette.state_label(row.state)} {row.gpu_hours:,.1f}" for row in rows if row.deployment == name)
        for name in shown
    )
    left_out = len(totals) - len(shown)
    return Figure(
        svg=Markup(
            drawing.as_svg(
                gpu_states_chart(rows),
                chart_id="chart-gpu-states",
                title="GPU-hours of each deployment by state",
                description=f"GPU-hours. {described}.",
            )
        ),
        caption="GPU-hours of each deployment by state. The share of its hours is written where there is room."
        + (f" {figures.counted(left_out, 'smaller deployment')} only in the table." if left_out else ""),
        legend=tuple(
            Legend(palette.state_label(state), palette.state_colour(state))
            for state in (*known, *sorted(present - set(known)))
        ),
    )


def _states_table(month: Month, states: Sequence[Answer], bills: Sequence[Answer]) -> Table:
    measures = measures_of([*states, *bills])
    order = {state: place for place, state in enumerate((*palette.GPU_STATES, *OTHER_LINES))}

    def cells(label: str, lines: Sequence[Answer]) -> tuple[str, ...]:
        return (label, _hours_of(lines), *amounts(month, lines, measures))

    rows: list[Row] = []
    for deployment in dict.fromkeys(line["deployment_id"] for line in states):
        own = [line for line in states if line["deployment_id"] == deployment]
        rows.append(
            Row(
                cells(figures.name(deployment, _NO_DEPLOYMENT), own),
                refused=month.proof.of_time(lane="self_host", deployment_id=deployment),
                traced=_states_traced(month, deployment, None),
            )
        )
        for state in sorted({line["state"] for line in own}, key=lambda state: (order.get(state, len(order)), state)):
            is_line = state in OTHER_LINES
            rows.append(
                Row(
                    cells(
                        LINE_KINDS[state] if is_line else palette.state_label(figures.visible(state)),
                        [line for line in own if line["state"] == state],
                    ),
                    kind="part",
                    swatch="" if is_line else palette.state_colour(state),
                    traced=_states_traced(month, deployment, state),
                )
            )
    if states:
        rows.append(
            Row(
                cells("Sum of the states", states),
                kind="total",
                refused=month.proof.of_time(lane="self_host"),
                traced=WasteFigure(from_date=month.from_date, to_date=month.to_date),
            )
        )
        billed = ["The GPU bill" + (" (accrued: as agreed)" if "accrued" in measures else ""), ""]
        for measure in measures:
            own_bills = [bill["bill_cost_rc"] for bill in bills if bill["cost_measure"] == measure]
            billed.append(month.money(sum(own_bills)) if own_bills and None not in own_bills else "unknown")
        rows.append(Row(tuple(billed), kind="total"))
    return Table(
        name="gpu_states",
        caption="GPU-hours and money by deployment and state",
        columns=(
            Column("Deployment and state"),
            Column("GPU-hours", "h", is_number=True),
            *(Column(measure.capitalize(), month.currency, is_number=True) for measure in measures),
        ),
        rows=tuple(rows),
        empty="No GPU-hour is billed or agreed for this month.",
        note="Each column sums to its own bill; columns never add. An empty cell: nothing of that measure.",
    )


def _states_traced(month: Month, deployment: str | None, state: str | None) -> WasteFigure:
    return WasteFigure(
        from_date=month.from_date,
        to_date=month.to_date,
        deployment=deployment,
        state=state,
        is_of_no_deployment=deployment is None,
    )


# The parts of ready time, in the colour of the state that they are most like.
_PART_COLOURS: Mapping[str, str] = {
    USEFUL: palette.state_colour("serving"),
    HEADROOM: palette.state_colour("starting"),
    FAILOVER_RESERVE: palette.state_colour("starting"),
    OVER_PROVISIONED: palette.state_colour("loaded_idle"),
    SCALE_TO_ZERO: palette.state_colour("loaded_idle"),
    USEFUL_OR_HEADROOM: palette.OTHER_STATE_COLOUR,
}


def _lines(month: Month) -> list[Block]:
    """The GPU bill line by line: what ready time bought, then every other state, then what is no GPU's."""
    found = month.ask("gpu_waste")
    if not found:
        return []
    order = {line: place for place, line in enumerate((*PARTS, *palette.GPU_STATES, *OTHER_LINES))}
    lines = sorted({line["line"] for line in found}, key=lambda line: (order.get(line, len(order)), line))
    measures, has_ends = measures_of(found), is_committed(found)
    rows = []
    for line in lines:
        own = [one for one in found if one["line"] == line]
        told = (
            _line_label(line),
            _hours_of(own),
            *amounts(month, own, measures),
            *cash_cells(month, own, measures, has_ends=has_ends),
        )
        rows.append(Row(told, swatch=_line_colour(line)))
    whole = (
        "The GPU bill",
        _hours_of(found),
        *amounts(month, found, measures),
        *cash_cells(month, found, measures, has_ends=has_ends),
    )
    rows.append(Row(whole, kind="total"))
    table = Table(
        name="gpu_bill_lines",
        caption="The GPU bill line by line: ready time by what it bought, then all that was not ready",
        columns=(
            Column("Line"),
            Column("GPU-hours", "h", is_number=True),
            *(Column(measure.capitalize(), month.currency, is_number=True) for measure in measures),
            *cash_columns(month, measures, has_ends=has_ends),
        ),
        rows=tuple(rows),
        note=" ".join(filter(None, (cash_note(month, found), _why_in_one_piece(found)))),
    )
    steps = [
        BillLine(_line_label(line), _line_colour(line), hours)
        for line in lines
        if (hours := sum(one["gpu_hours"] or 0 for one in found if one["line"] == line)) > 0
    ]
    return [_waterfall(steps), table] if steps else [table]


def _waterfall(steps: Sequence[BillLine]) -> Figure:
    described = ", ".join(f"{step.label} {step.gpu_hours:,.1f}" for step in steps)
    return Figure(
        svg=Markup(
            drawing.as_svg(
                waterfall_chart(steps),
                chart_id="chart-gpu-lines",
                title="GPU-hours of the bill, line by line",
                description=f"GPU-hours. {described}.",
            )
        ),
        caption="GPU-hours of the bill, line by line: each begins where the one above it ends.",
    )


def _line_label(line: str) -> str:
    if line in PART_WORDS:
        return PART_WORDS[line]
    return LINE_KINDS[line] if line in OTHER_LINES else palette.state_label(figures.visible(line))


def _line_colour(line: str) -> str:
    return "" if line in OTHER_LINES else _PART_COLOURS.get(line) or palette.state_colour(line)


def _hours_of(lines: Sequence[Answer]) -> str:
    """Empty where none of them has hours."""
    has_hours = any(line["gpu_hours"] is not None for line in lines)
    return figures.hours(total(lines, "gpu_hours", empty=None)) if has_hours else ""


def _why_in_one_piece(lines: Sequence[Answer]) -> str:
    reasons = {(line["deployment_id"], line["reason"]) for line in lines if line["reason"] is not None}
    if not reasons:
        return ""
    told = "; ".join(
        f"{figures.name(name, _NO_DEPLOYMENT)}: {figures.visible(reason, figures.TEXT_LIMIT)}"
        for name, reason in sorted(reasons)
    )
    return f"Useful or headroom, not told apart: {told}."


def _bills_table(month: Month, bills: Sequence[Answer]) -> Table:
    apart = [bill for bill in bills if bill["difference_cost"] != 0]
    return Table(
        name="gpu_bill_check",
        caption="The GPU bill beside the sum of its states, to the last digit",
        columns=(
            Column("Issuer"),
            Column("Account"),
            Column("Measure"),
            Column("Currency"),
            Column("Bill", "in its currency", is_number=True),
            Column("Sum of the states", "in its currency", is_number=True),
            Column("Difference", "in its currency", is_number=True),
        ),
        rows=tuple(
            Row(
                (
                    figures.name(bill["issuer"]),
                    figures.name(bill["account"]),
                    bill["cost_measure"],
                    figures.name(bill["billing_currency"]),
                    figures.exact(bill["bill_cost"]),
                    figures.exact(bill["states_cost"]),
                    figures.exact(bill["difference_cost"]),
                ),
                refused=month.proof.of_money(lane="self_host", issuer=bill["issuer"], account=bill["account"]),
            )
            for bill in bills
        ),
        note=f"{figures.counted(len(apart), 'line')} differ or cannot be compared: see Laws." if apart else "",
    )
