"""Headline: what was paid on each lane, what a million tokens cost, what stood idle and what nobody saw."""

from collections.abc import Sequence

from pipeline.explain.api_costs import CostFigure
from pipeline.explain.gpu_costs import WasteFigure
from pipeline.explain.traced import Traced
from pipeline.formats.currency import priced
from pipeline.reports import figures
from pipeline.reports.page import Block, Column, Note, Row, Section, Table, Tile, Tiles
from pipeline.reports.sections.month import (
    MEASURES,
    Answer,
    Month,
    by_measure,
    in_words,
    lane_name,
    marked,
    served_by,
    total,
)
from pipeline.reports.sections.unit_costs import laws_of_price, price_of

_MOST_NAMES = 3


def headline(month: Month) -> Section:
    """Spend by lane and measure, what a million tokens cost, what stood idle, what nobody saw."""
    spent = month.ask("headline")
    states = month.ask("gpu_states")
    prices = [line for line in month.ask("unit_costs_by_class") if line["token_class"] == "blended"]
    unknown = month.ask("unknown_costs")
    tiles = [
        Tile(
            title=f"{lane_name(line['lane'])}, {line['cost_measure']}",
            figure=month.money(line["realized_cost_rc"]),
            unit=month.currency,
            detail=MEASURES.get(line["cost_measure"], ""),
            refused=month.proof.of_money(lane=line["lane"]),
            measure=line["cost_measure"],
            traced=_lane_traced(month, line),
        )
        for line in spent
    ]
    for title, names, words in (
        ("GPUs, idle", ("loaded_idle", "unallocated"), "loaded and waiting, or with nothing on them"),
        ("GPUs, unobserved", ("unobserved",), "no telemetry: not called idle, not called busy"),
    ):
        chosen = [line for line in states if line["state"] in names]
        if states:
            tiles.append(
                Tile(
                    title=title,
                    figure=figures.hours(total(chosen, "gpu_hours", empty=0)),
                    unit="GPU-hours",
                    detail=f"{by_measure(month, chosen)}: {_deployments(chosen)}; {words}" if chosen else words,
                    refused=month.proof.of_time(lane="self_host"),
                )
            )
    tiles[len(spent) : len(spent)] = _price_tiles(month, prices)
    tiles.extend(_saving_tile(month))
    blocks: list[Block] = [Tiles(tuple(tiles))] if tiles else []
    if spent:
        blocks.append(Note("Billed, effective and accrued money are different claims: they stand apart and never add."))
    if unknown:
        blocks.append(Note(_unknown_sentence(unknown), is_warning=True))
    blocks.append(
        Table(
            name="unit_costs_blended",
            caption="What a million tokens cost, all token classes together",
            columns=(
                Column("Model"),
                Column("Lane"),
                Column("Served by"),
                Column("Measure"),
                Column("Tokens", "million", is_number=True),
                Column("Full cost", f"{month.currency} per 1M tokens", is_number=True),
            ),
            rows=tuple(
                Row(
                    (
                        figures.name(line["model"], "no model"),
                        lane_name(line["lane"]),
                        served_by(line),
                        figures.name(line["cost_measure"]),
                        figures.millions(line["tokens"]),
                        price_of(line, "full_rc_per_mtok"),
                    ),
                    refused=laws_of_price(month, line),
                )
                for line in prices
            ),
        )
    )
    return Section("headline", "Headline", _headline_sentence(month, spent, states), blocks)


def _lane_traced(month: Month, line: Answer) -> Traced | None:
    if line["lane"] == "api":
        return CostFigure(from_date=month.from_date, to_date=month.to_date)
    if line["lane"] == "self_host":
        return WasteFigure(from_date=month.from_date, to_date=month.to_date, measure=line["cost_measure"])
    return None


def _price_tiles(month: Month, prices: Sequence[Answer]) -> list[Tile]:
    """What a million tokens cost on each lane: of the measure that most of it is, the others beside it."""
    tiles = []
    for lane in dict.fromkeys(line["lane"] for line in prices):
        sums: dict[str, tuple[float, int]] = {}
        for line in prices:
            if line["lane"] == lane and line["tokens"] and line["full_rc_per_mtok"] is not None:
                measure = line["cost_measure"] or "measure unknown"
                cost, tokens = sums.get(measure, (0.0, 0))
                counted = int(line["tokens"])
                sums[measure] = (cost + line["full_rc_per_mtok"] * counted, tokens + counted)
        if not sums:
            continue
        first, *others = sorted(sums, key=lambda measure: (-sums[measure][0], measure))
        price = {measure: figures.per_mtok(cost / tokens) for measure, (cost, tokens) in sums.items()}
        beside = "".join(f"; {priced(price[measure], month.currency)} {measure}" for measure in others)
        tiles.append(
            Tile(
                title=f"{lane_name(lane)}, a million tokens",
                figure=price[first],
                unit=month.currency,
                detail=f"{first}{beside}; full cost over the tokens that were counted",
                refused=month.proof.of_money(lane=lane),
                measure=first,
            )
        )
    return tiles


def _saving_tile(month: Month) -> list[Tile]:
    """The largest saving that advice offers. What one saves is not what it saves after another: they do not add up."""
    offered = [line for line in month.ask("advice") if line["saving_rc_per_month"] is not None]
    if not offered:
        return []
    most = max(offered, key=lambda line: (line["saving_rc_per_month"], line["advice"], str(line["workload"])))
    names = ", ".join(figures.name(most[name]) for name in ("deployment_id", "workload") if most[name] is not None)
    others = f"; {figures.counted(len(offered) - 1, 'other')} under Recommendations" if len(offered) > 1 else ""
    tile = Tile(
        title="Largest saving found",
        figure=month.money(most["saving_rc_per_month"]),
        unit=f"{month.currency} a month",
        detail=f"{most['advice']}: {names}{others}",
        refused=month.proof.of_time(lane="self_host"),
        measure="expected",
    )
    return [tile]


def _deployments(lines: Sequence[Answer]) -> str:
    """The deployments with most of these GPU-hours, by name."""
    hours: dict[str, float] = {}
    for line in lines:
        name = figures.name(line["deployment_id"], "no deployment")
        hours[name] = hours.get(name, 0.0) + (line["gpu_hours"] or 0.0)
    names = sorted(hours, key=lambda name: (-hours[name], name))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(f"{name} {figures.hours(hours[name])} h" for name in names[:_MOST_NAMES]) + more


def _headline_sentence(month: Month, spent: Sequence[Answer], states: Sequence[Answer]) -> str:
    if not spent:
        return "No money is known for this month: no source delivered a cost for any of its days."
    parts = []
    for line in spent:
        lane = {"api": "the API"}.get(line["lane"], lane_name(line["lane"]))
        claim = f"{month.priced(line['realized_cost_rc'])} {line['cost_measure']} for {lane}"
        parts.append(marked(claim, month.proof.of_money(lane=line["lane"])))
    says = f"{in_words(parts)}."
    hours = total(states, "gpu_hours", empty=None)
    idle = total([line for line in states if line["state"] in ("loaded_idle", "unallocated")], "gpu_hours", empty=0)
    if hours:
        says += f" GPUs stood idle for {figures.hours(idle)} of {figures.hours(hours)} GPU-hours"
        says = marked(says, month.proof.of_time(lane="self_host"))
        unseen = total([line for line in states if line["state"] == "unobserved"], "gpu_hours", empty=0)
        says += f"; {figures.hours(unseen)} more went unobserved." if unseen else "; none went unobserved."
    return says[:1].upper() + says[1:]


def _unknown_sentence(unknown: Sequence[Answer]) -> str:
    unconverted = [line for line in unknown if line["reason"] == "unconverted"]
    unrated = [line for line in unknown if line["reason"] == "no_rate"]
    without_amount = {figures.name(line["issuer"]) for line in unknown if line["reason"] == "no_amount"}
    parts = [
        f"{figures.priced(line['realized_cost'], figures.name(line['billing_currency'], 'of no stated currency'))} "
        f"{line['cost_measure']} by {figures.name(line['issuer'])} (no exchange rate)"
        for line in unconverted
    ]
    parts += [
        f"{figures.hours(line['gpu_hours'])} GPU-hours of {figures.name(line['issuer'])} (no price)" for line in unrated
    ]
    parts += [f"charges of {issuer} without an amount" for issuer in sorted(without_amount)]
    return f"In no total here: {in_words(parts)}. They are listed under Spend."
