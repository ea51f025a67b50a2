"""Two curves of a verdict, as report, Dagster and Slack show them: which load pays a replica, where the lanes cross.

Both are drawn from the verdict's own figures by the economics that made it; tokens are at the window's mean mix.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.charts import drawing, palette
from pipeline.charts.curves import Drawable, curve_chart
from pipeline.charts.load import LoadCurve
from pipeline.charts.stairs import Stair, Stairs
from pipeline.config.whole import Config
from pipeline.economics.breakeven import Staircase, breakeven_volumes
from pipeline.economics.screening import screening
from pipeline.reports import figures

_HOURS_PER_DAY = 24
_MTOK = 10**6
# More stairs than this are a line.
_MOST_STAIRS = 40
_MOST_MARKS = 12
# Beyond a millionth the API's bill is not its price times the volume: something is committed.
_SAME = Fraction(1, 10**6)

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn, with what is said of it: `says` is also its description for whoever does not see it.

    It is drawn when it is asked for: drawing takes a second where nothing was drawn before.
    """

    name: str
    title: str
    says: str
    legend: tuple[tuple[str, str], ...]
    drawn: Drawable

    def svg(self, chart_id: str) -> str:
        return drawing.as_svg(curve_chart(self.drawn), chart_id=chart_id, title=self.title, description=self.says)

    def png(self, *, scale: float = 2) -> bytes:
        return drawing.as_png(
            curve_chart(self.drawn), title=self.title, says=self.says, legend=self.legend, scale=scale
        )


@dataclass(frozen=True)
class Curve(Drawing):
    """A curve of a verdict."""

    drawn: LoadCurve | Stairs


def curves_of(line: Answer, curve: Answer | None, config: Config) -> tuple[Curve, ...]:
    """`line`: a verdict. `curve`: its row of the question `workload_curves`; without one there is nothing to draw.

    `config`: as the snapshot has it, for the currency and what a deployment holds ready.
    """
    if curve is None or line["replica_cost_rc"] is None:
        return ()
    return tuple(found for found in (_load(line, curve), _stairs(line, curve, config)) if found is not None)


def _load(line: Answer, curve: Answer) -> Curve | None:
    """The load-duration curve, cut at the best count."""
    replicas, hours = line["best_replica_count"], curve["hourly_tokens"]
    if not curve["is_hourly"] or replicas is None or not any(hours):
        return None
    capacity = _fraction(line["capacity_tokens_per_replica_hour"])
    cut = screening(
        hourly_demand=hours,
        replica_cost=line["replica_cost_rc"],
        capacity_per_replica_hour=capacity,
        price_per_unit=_price(line),
    )
    ready = replicas * capacity
    served = sum((min(Fraction(tokens), ready) for tokens in hours), Fraction(0))
    counted = figures.counted(replicas, "replica")
    pays = cut.hours_that_pay
    if pays is None:
        says = "The API costs nothing that leaving would avoid: no load pays a replica."
    elif pays > len(hours):
        says = f"Even a load that is always there does not pay: it would take {float(pays):,.0f} of {len(hours)} hours."
    else:
        says = (
            f"A replica pays for the load that is there in {float(pays):,.0f} of {len(hours)} hours or more: up to "
            f"{figures.millions(float(cut.base_load))} million tokens an hour."
        )
    if replicas:
        share = "all" if served == sum(hours) else figures.percent(float(served), float(sum(hours)))
        does = "serves" if replicas == 1 else "serve"
        says += f" In whole steps {counted} {'is' if replicas == 1 else 'are'} best and {does} {share} of the tokens."
    elif pays is not None and pays <= len(hours):
        says += " In whole steps, and with what it costs besides, none is best."
    legend = [(f"served by {counted}", palette.SERVED_COLOUR)] if replicas else []
    if served < sum(hours):
        legend.append(("taken by the API", palette.OVERFLOW_COLOUR))
    return Curve(
        name="load",
        title=f"{figures.name(line['workload'])}: which load pays a replica",
        says=says,
        legend=tuple(legend),
        drawn=LoadCurve(
            hourly_tokens=[float(tokens) for tokens in cut.duration],
            capacity_tokens=float(ready),
            hours_that_pay=None if pays is None else float(pays),
        ),
    )


def _stairs(line: Answer, curve: Answer, config: Config) -> Curve | None:
    """Both lanes' cost over the volume; None where the API's bill is no price times the volume, or where what is
    declared now is not what the verdict was made of: its break-even would not lie where the lines cross.
    """
    declared = next((one for one in config.deployments if one.deployment == line["deployment_id"]), None)
    if declared is None:
        return None
    days = line["window_days_count"]
    whole = _price(line) * sum(curve["hourly_tokens"])
    paid = _fraction(line["api_only_cost_rc"])
    if not days or not curve["is_hourly"] or abs(whole - paid) > _SAME * abs(paid):
        return None
    stairs = Staircase(
        price_per_token=_price(line),
        capacity_tokens=_fraction(line["capacity_tokens_per_replica_hour"]) * _HOURS_PER_DAY * days,
        replica_cost=line["replica_cost_rc"],
        fixed_cost=line["fixed_cost_rc"],
        spare_replicas=declared.spare_replicas,
        minimum_replicas=max(1, declared.minimum_replicas),
    )
    found = breakeven_volumes(stairs)
    if not _is_same(found.first, line["breakeven_first_tokens_per_day"], days):
        return None
    demand = line["demand_tokens_per_day"]
    wanted = [Fraction(str(demand)) * days * Fraction(135, 100)] if demand else []
    wanted += [Fraction(volume) * Fraction(12, 10) for volume in (found.first, found.stable_from) if volume]
    capacity = Fraction(stairs.capacity_tokens)
    count = min(_MOST_STAIRS, max(2, *(int(-(-volume // capacity)) for volume in wanted or [capacity])))
    drawn = [
        Stair(
            from_tokens=float((number - 1) * capacity / days),
            to_tokens=float(number * capacity / days),
            from_cost=float(stairs.self_host_cost(number * capacity)),
            to_cost=float(stairs.self_host_cost(number * capacity)),
        )
        for number in range(1, count + 1)
    ]
    marks = [crossing.volume for crossing in found.crossings if Fraction(crossing.volume) <= count * capacity]
    return Curve(
        name="breakeven",
        title=f"{figures.name(line['workload'])}: where self-hosting is cheaper",
        says=_said_of_stairs(line, config.reporting_currency, days),
        legend=(
            ("own replicas", palette.SELF_HOST_COLOUR),
            ("the API", palette.API_COLOUR),
            *([("the cheaper one changes", palette.STABLE_BREAKEVEN_COLOUR)] if marks else []),
        ),
        drawn=Stairs(
            stairs=drawn,
            api=[(0.0, 0.0), (float(count * capacity / days), float(stairs.api_cost(count * capacity)))],
            crossings=[(float(volume) / days, float(stairs.api_cost(volume))) for volume in marks[:_MOST_MARKS]],
            demand_tokens=None if demand is None else float(demand),
            currency=config.reporting_currency,
        ),
    )


def _is_same(volume: Decimal | None, per_day: float | None, days: int) -> bool:
    if volume is None or per_day is None:
        return volume is None and per_day is None
    return abs(Fraction(volume) / days - _fraction(per_day)) <= _SAME * _fraction(per_day)


def _said_of_stairs(line: Answer, currency: str, days: int) -> str:
    def volume(column: str) -> str:
        return f"{figures.millions(line[column])} million tokens a day"

    step = f"Each replica more costs {figures.priced(line['replica_cost_rc'], currency)} over {days} days."
    if line["breakeven_first_tokens_per_day"] is None:
        return f"{step} Self-hosting is cheaper at no volume."
    first, stable = line["breakeven_first_tokens_per_day"], line["breakeven_stable_tokens_per_day"]
    if stable is None:
        then = "and at no volume for good"
    else:
        then = "and stays so" if stable == first else f"and stays so from {volume('breakeven_stable_tokens_per_day')}"
    return f"{step} Self-hosting is cheaper from {volume('breakeven_first_tokens_per_day')}, {then}."


def _price(line: Answer) -> Fraction:
    return _fraction(line["api_price_rc_per_mtok"]) / _MTOK


def _fraction(value: Decimal | float | None) -> Fraction:
    """As it is written: a float of the marts is its shortest decimal."""
    return Fraction(0) if value is None else Fraction(str(value))
