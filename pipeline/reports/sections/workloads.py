"""Verdicts: what each workload's own traffic says, with its demand beside its break-even."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from markupsafe import Markup

from pipeline.charts import drawing, palette
from pipeline.charts.demand import DemandDay, demand_chart
from pipeline.explain.traced import Named
from pipeline.formats.currency import priced
from pipeline.reports import certainty, figures, matches
from pipeline.reports.curves import curves_of
from pipeline.reports.grain import hours_in_words, peaks_in_words
from pipeline.reports.page import Block, Card, Column, Fact, Figure, Legend, Note, Row, Section, Table
from pipeline.reports.sections.month import Answer, Month, in_words

_RECOMMENDATIONS: Mapping[str, str] = {
    "stay": "stay as it is",
    "fill": "fill the GPUs that are already paid for",
    "release": "release replicas",
    "switch_to_self_host": "move to self-hosting",
    "switch_to_api": "move to the API",
}
# What stands where a recommendation would, and why there is none.
_STATUSES: Mapping[str, str] = {
    "pinned": "pinned: no advice",
    "prices_only": "prices only",
    "conditions": "what would have to be true",
    "bracketed": "depends on the cache of the API",
    "no_hourly_evidence": "no hourly evidence: no replica count",
    "not_settled": "not settled",
}
_SIDES: Mapping[str, str] = {"api": "API", "self_host": "self-host"}
_SERVED_BY: Mapping[str, str] = {"api": "the API", "self_host": "own GPUs", "both": "the API and own GPUs"}
_MOST_CHARTS = 24


def verdicts(month: Month) -> Section:
    """Each workload's newest verdict of the month, with its demand beside its break-even."""
    lines = month.ask("verdicts_of_month")
    history = month.ask("verdict_history")
    sure = {(row["workload"], row["usage_date"]): row for row in month.ask("verdict_certainty")}
    curves = {row["workload"]: row for row in month.ask("workload_curves")}
    grains = {grain["workload"]: grain for grain in month.ask("demand_grain")}
    models: dict[str, list[Answer]] = {}
    for found in month.ask("model_matches"):
        models.setdefault(found["workload"], []).append(found)
    rows = [
        Row(
            (
                figures.name(line["workload"]),
                figures.name(line["team"], "no team"),
                _state(line),
                _recommendation(line),
                figures.millions(line["demand_tokens_per_day"]),
                figures.millions(line["breakeven_first_tokens_per_day"]),
                figures.ratio(line["demand_ratio"]),
                month.money(line["saving_rc_per_month"]),
            ),
            refused=_verdict_laws(month, line),
            traced=_traced(line),
        )
        for line in lines
    ]
    blocks: list[Block] = [
        Table(
            name="verdicts",
            caption="Verdicts of the last settled day of the month",
            columns=(
                Column("Workload"),
                Column("Team"),
                Column("Announced side"),
                Column("Recommendation"),
                Column("Demand", "million tokens a day", is_number=True),
                Column("First break-even", "million tokens a day", is_number=True),
                Column("Demand / break-even", "ratio", is_number=True),
                Column("Saving", f"{month.currency} a month", is_number=True, measure="expected"),
            ),
            rows=tuple(rows),
            empty="No workload has a verdict in this month.",
        )
    ]
    chosen = sorted(lines, key=lambda line: (-abs(line["saving_rc_per_month"] or 0), line["workload"]))[:_MOST_CHARTS]
    for number, line in enumerate(lines, start=1):
        if line in chosen:
            own = [day for day in history if day["workload"] == line["workload"]]
            beside = _Beside(
                sure=sure.get((line["workload"], line["usage_date"])),
                curve=curves.get(line["workload"]),
                grain=grains.get(line["workload"]),
                models=models.get(line["workload"], ()),
            )
            card = _verdict_card(month, line, own, beside, number=number)
            blocks.append(card)
    if len(lines) > len(chosen):
        blocks.append(Note(f"Charts are of the {len(chosen)} workloads with most at stake; all are in the table."))
    return Section("verdicts", "Verdicts", _verdicts_sentence(lines), blocks)


def _traced(line: Answer) -> Named:
    return Named(subject="verdict", name=line["workload"], usage_date=line["usage_date"])


def _verdict_laws(month: Month, line: Answer) -> tuple[str, ...]:
    return month.proof.of_workload(line["workload"], deployment_id=line["deployment_id"])


def _state(line: Answer) -> str:
    if line["state"] is None:
        return figures.UNKNOWN
    side = _SIDES.get(line["state"], figures.name(line["state"]))
    return f"{side}, changed that day" if line["is_fired"] else side


def _status(line: Answer) -> str:
    return _STATUSES.get(line["status"], figures.name(line["status"]).replace("_", " "))


def _recommendation(line: Answer) -> str:
    recommendation = line["recommendation"]
    if recommendation is None:
        return _status(line)
    return _RECOMMENDATIONS.get(recommendation, figures.name(recommendation).replace("_", " "))


@dataclass(frozen=True, kw_only=True)
class _Beside:
    """What stands beside a verdict. None: nothing is known of it."""

    sure: Answer | None
    curve: Answer | None
    grain: Answer | None
    models: Sequence[Answer]


def _verdict_card(month: Month, line: Answer, history: Sequence[Answer], beside: _Beside, *, number: int) -> Card:
    def cost(amount: Decimal | None, replicas: int | None) -> str:
        counted = "" if replicas is None else f" ({figures.counted(replicas, 'replica')})"
        return "unknown" if amount is None else f"{month.priced(amount)}{counted}"

    later = line["later_unsettled_days_count"]
    facts = [
        Fact(
            "Verdict of",
            f"{figures.day(line['usage_date'])}, UTC"
            + (f"; {figures.counted(later, 'later day')} not settled" if later else ""),
        ),
        Fact("Announced side", _state(line)),
        Fact("Now served by", _SERVED_BY.get(line["current_lane"] or "", figures.name(line["current_lane"]))),
        Fact("Demand, 7-day mean", _volume(line["demand_tokens_per_day"])),
        Fact("First break-even", _breakeven(line, "breakeven_first_tokens_per_day")),
        Fact("Stays cheaper from", _breakeven(line, "breakeven_stable_tokens_per_day")),
        Fact("Demand / first break-even", figures.ratio(line["demand_ratio"])),
        *([Fact("Costs are of", _window(line))] if line["api_only_cost_rc"] is not None else []),
        Fact("API only", cost(line["api_only_cost_rc"], None)),
        *(
            [Fact("API only, without a cache hit", cost(line["api_only_without_cache_cost_rc"], None))]
            if line["api_only_without_cache_cost_rc"] is not None
            else []
        ),
        Fact("All self-hosted", cost(line["all_self_host_cost_rc"], line["all_self_host_replica_count"])),
        Fact("Best mix", _best(month, line) or cost(line["best_cost_rc"], line["best_replica_count"])),
        Fact("As it is", cost(line["current_cost_rc"], None)),
        Fact("Best mix saves, a month", cost(line["saving_rc_per_month"], None)),
        Fact("Margin of a full replica", cost(line["full_replica_margin_rc"], None)),
        Fact("A replica pays from", _of_capacity(line["breakeven_utilization_ratio"])),
        Fact("API price", _basis(month, line["api_price_rc_per_mtok"], "per 1M tokens", line["api_price_basis"])),
        Fact("GPU rate", _basis(month, line["gpu_hour_rate_rc"], "per GPU-hour", line["gpu_rate_basis"])),
        Fact("Capacity of a replica", _capacity(line)),
        *(() if beside.grain is None else _grain(beside.grain)),
        *(Fact("Models", figures.visible(matches.in_words(found), figures.TEXT_LIMIT)) for found in beside.models),
        *([] if beside.sure is None else _certainty(month, beside.sure)),
    ]
    return Card(
        anchor=f"workload-{number}",
        title=figures.name(line["workload"]),
        lead=_why(line),
        facts=_known_first(facts),
        figures=(
            *_demand_figure(month, line, history, number=number),
            *_curve_figures(month, line, beside.curve, number=number),
        ),
        refused=_verdict_laws(month, line),
        traced=_traced(line),
    )


def _certainty(month: Month, sure: Answer) -> list[Fact]:
    """How sure the verdict is, and when traffic will be across."""
    currency = month.currency
    with_quality = certainty.quality(sure, currency)
    said = [] if with_quality is None else [Fact("Quality", figures.visible(with_quality, figures.TEXT_LIMIT))]
    if sure["status"] != "known":
        return [Fact("How sure", f"no interval: {figures.visible(sure['reason'], figures.TEXT_LIMIT)}"), *said]
    mattering, rates = certainty.matters_most(sure, currency), certainty.exchange_rates(sure)
    resampled = figures.counted(sure["resample_count"], "resample")
    return [
        Fact("How sure", f"{resampled} of {figures.counted(sure['days_count'], 'day')} in blocks of seven"),
        Fact("First break-even, 5 to 95%", certainty.breakeven(sure)),
        Fact("The next 30 days reach it", f"in {certainty.reached(sure)}"),
        Fact("The advice", certainty.advice(sure, currency)),
        *said,
        *([] if mattering is None else [Fact("What matters most", mattering)]),
        *([] if rates is None else [Fact("Exchange rates", rates)]),
        Fact("Overheads", certainty.overheads(sure, currency)),
        Fact("Crossing", certainty.crossing(sure)),
    ]


def _curve_figures(month: Month, line: Answer, curve: Answer | None, *, number: int) -> tuple[Figure, ...]:
    """Which load pays a replica, and where the lanes cross."""
    return tuple(
        Figure(
            svg=Markup(found.svg(f"chart-{found.name}-{number}")),
            caption=found.says,
            legend=tuple(Legend(label, colour) for label, colour in found.legend),
        )
        for found in curves_of(line, curve, month.config)
    )


def _grain(grain: Answer) -> Iterator[Fact]:
    """Hours that nobody metered, and peaks inside the hour; nothing where neither is a question."""
    for title, said in (("Hours of demand", hours_in_words(grain)), ("Peaks inside the hour", peaks_in_words(grain))):
        if said is not None:
            yield Fact(title, figures.visible(said, figures.TEXT_LIMIT))


def _best(month: Month, line: Answer) -> str | None:
    """Between which costs the best mix lies, where only sums of days are known."""
    if line["best_cost_least_rc"] is None or line["best_cost_most_rc"] is None:
        return None
    count = "" if line["best_replica_count"] is None else f" ({figures.counted(line['best_replica_count'], 'replica')})"
    return f"{month.priced(line['best_cost_least_rc'])} to {month.priced(line['best_cost_most_rc'])}{count}"


def _known_first(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """What is known, then the rest by name: a column of dashes says less than one line."""
    known = [fact for fact in facts if fact.text not in ("unknown", figures.UNKNOWN)]
    rest = [fact.title for fact in facts if fact not in known]
    if not rest:
        return tuple(known)
    return (*known, Fact("Not known", "; ".join(rest)))


def _window(line: Answer) -> str:
    if line["window_days_count"] is None or line["window_from_date"] is None:
        return figures.UNKNOWN
    return f"{figures.counted(line['window_days_count'], 'settled day')} from {figures.day(line['window_from_date'])}"


def _why(line: Answer) -> str:
    says = f"{_recommendation(line)[:1].upper()}{_recommendation(line)[1:]}."
    if line["demand_ratio"] is not None:
        says += f" Demand is {figures.ratio(line['demand_ratio'])} times the first break-even volume."
    for reason in (line["reason"], line["state_reason"]):
        if reason:
            text = figures.visible(reason, figures.TEXT_LIMIT)
            says += f" {text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")
    return says


def _volume(tokens: Decimal | float | None) -> str:
    return figures.UNKNOWN if tokens is None else f"{figures.millions(tokens)} million tokens a day"


def _breakeven(line: Answer, column: str) -> str:
    """None without a verdict is unknown; None with one is the answer: there is no such volume."""
    if line[column] is None and line["breakeven_crossing_count"] is not None:
        return "none: at no volume"
    return _volume(line[column])


def _of_capacity(ratio: float | None) -> str:
    if ratio is None:
        return figures.UNKNOWN
    percent = figures.percent(ratio, 1)
    return f"{percent} of its capacity" if ratio <= 1 else f"{percent} of its capacity: never"


def _basis(month: Month, price: Decimal | float | None, unit: str, basis: str | None) -> str:
    if price is None:
        return "unknown"
    text = figures.per_mtok(price)
    return f"{priced(text, month.currency)} {unit}, {figures.name(basis, 'basis not stated').replace('_', ' ')}"


def _capacity(line: Answer) -> str:
    capacity = line["capacity_tokens_per_replica_hour"]
    if capacity is None:
        return "unknown"
    least = "" if line["capacity_basis"] == "declared" else "at least "
    source = figures.name(line["capacity_source"], "source not stated")
    basis = f"declared: {source}" if line["capacity_basis"] == "declared" else source
    return f"{least}{figures.millions(capacity)} million tokens an hour, {basis}"


def _demand_figure(month: Month, line: Answer, history: Sequence[Answer], *, number: int) -> tuple[Figure, ...]:
    days = [
        DemandDay(
            usage_date=day["usage_date"],
            demand_tokens=_float(day["demand_tokens_per_day"]),
            breakeven_first_tokens=_float(day["breakeven_first_tokens_per_day"]),
            breakeven_stable_tokens=_float(day["breakeven_stable_tokens_per_day"]),
        )
        for day in history
    ]
    known = [day for day in days if day.demand_tokens is not None]
    if not known:
        return ()
    has_first = any(day.breakeven_first_tokens is not None for day in days)
    has_stable = any(day.breakeven_stable_tokens not in (None, day.breakeven_first_tokens) for day in days)
    if not has_stable:
        days = [replace(day, breakeven_stable_tokens=None) for day in days]
    legend = [Legend("demand, trailing mean", palette.DEMAND_COLOUR)]
    if has_first:
        legend.append(Legend("first break-even", palette.FIRST_BREAKEVEN_COLOUR))
    if has_stable:
        legend.append(Legend("self-hosting stays cheaper", palette.STABLE_BREAKEVEN_COLOUR))
    name = figures.name(line["workload"])
    found = Figure(
        svg=Markup(
            drawing.as_svg(
                demand_chart(days, first_day=month.from_date, days_count=month.days_count),
                chart_id=f"chart-workload-{number}",
                title=f"Demand of {name} against its break-even",
                description=(
                    f"Demand goes from {_volume(known[0].demand_tokens)} on {figures.day(known[0].usage_date)} to "
                    f"{_volume(known[-1].demand_tokens)} on {figures.day(known[-1].usage_date)}; the first break-even "
                    f"is last {_volume(line['breakeven_first_tokens_per_day'])}."
                ),
            )
        ),
        caption="Mean daily demand of the trailing 7 days."
        + ("" if has_first else " No break-even volume is known, or there is none.")
        + (" A gap: the day is not settled yet, or its demand is not known." if len(known) < month.days_count else ""),
        legend=tuple(legend),
    )
    return (found,)


def _float(value: Decimal | float | None) -> float | None:
    return None if value is None else float(value)


def _verdicts_sentence(lines: Sequence[Answer]) -> str:
    if not lines:
        return "No workload has a verdict in this month."
    above = [line for line in lines if line["demand_ratio"] is not None and line["demand_ratio"] >= 1]
    below = [line for line in lines if line["demand_ratio"] is not None and line["demand_ratio"] < 1]
    be = "is" if len(above) == 1 or len(lines) == 1 else "are"
    parts = [
        f"{len(above)} of {figures.counted(len(lines), 'workload')} {be} above the first break-even",
        f"{len(below)} below",
    ]
    without = len(lines) - len(above) - len(below)
    if without:
        parts.append(f"{without} without a break-even to compare with")
    return f"{in_words(parts)}."
