"""A curve as a few lines of SVG, in a millisecond: for who would wait for a drawing library every morning.

The figures are those of `pipeline.charts`, which draws them with care where somebody reads a report. Same figures, same
bytes. A sketch stands alone: on white, with its own few words, in the fonts of whoever shows it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from pipeline.charts.load import LoadCurve, thinned
from pipeline.charts.palette import (
    API_COLOUR,
    MARK_COLOUR,
    OVERFLOW_COLOUR,
    SELF_HOST_COLOUR,
    SERVED_COLOUR,
    STABLE_BREAKEVEN_COLOUR,
)
from pipeline.charts.stairs import Stairs

_WIDTH, _HEIGHT = 440, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 34, 34
# Of a curve: more are not told apart at this width.
_MOST_STEPS = 80


def sketch(drawn: LoadCurve | Stairs) -> str:
    """An `<svg>` element that can be an image of its own."""
    parts = _load(drawn) if isinstance(drawn, LoadCurve) else _stairs(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="11"><rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
        f"{''.join(parts)}</svg>"
    )


@dataclass(frozen=True)
class _Field:
    """The area that figures are drawn in: from 0 to `across` and from 0 to `up`, both above 0."""

    across: float
    up: float

    def x(self, value: float) -> str:
        return _number(_LEFT + value / self.across * (_WIDTH - _LEFT - _RIGHT))

    def y(self, value: float) -> str:
        return _number(_HEIGHT - _BOTTOM - value / self.up * (_HEIGHT - _TOP - _BOTTOM))

    def axes(self, *, across: str, up: str, half: float, most: float) -> Iterable[str]:
        """Two lines, what they measure, and the values at their middle and end. `half`, `most`: of the upper axis."""
        yield (
            f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="{MARK_COLOUR}"/>'
            f'<text x="{_LEFT}" y="12" fill="{MARK_COLOUR}">{escape(up)}</text>'
            f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end" fill="{MARK_COLOUR}">'
            f"{escape(across)}</text>"
        )
        for value, of in ((half, self.up / 2), (most, self.up)):
            yield f'<text x="{_LEFT - 6}" y="{self.y(of)}" dy="4" text-anchor="end">{_short(value)}</text>'
        yield f'<text x="{_LEFT}" y="{_HEIGHT - 20}">0</text>'
        yield f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 20}" text-anchor="end">{_short(self.across)}</text>'

    def upright(self, at: float, text: str) -> str:
        """A dashed rule from top to bottom with its name above it, outside of what is filled."""
        anchor = "start" if at < self.across / 4 else "end" if at > self.across * 3 / 4 else "middle"
        return (
            f'<path class="mark" d="M{self.x(at)} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{MARK_COLOUR}" '
            f'stroke-dasharray="2 3"/><text x="{self.x(at)}" y="{_TOP - 4}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )


def _load(curve: LoadCurve) -> Iterable[str]:
    """Hours by their load: what replicas serve below their capacity, what the API takes above it."""
    hours = len(curve.hourly_tokens)
    field = _Field(across=max(hours, 1), up=max(curve.hourly_tokens, default=0.0) or 1.0)
    steps = thinned(curve.hourly_tokens, most=_MOST_STEPS)
    for name, colour, level in (("taken", OVERFLOW_COLOUR, math.inf), ("served", SERVED_COLOUR, curve.capacity_tokens)):
        path = "".join(f"V{field.y(min(tokens, level))}H{field.x(rank)}" for rank, tokens in steps)
        yield f'<path class="{name}" d="M{field.x(0)} {field.y(0)}{path}V{field.y(0)}Z" fill="{colour}"/>'
    yield from field.axes(
        across=f"hours with at least this load, of {hours}",
        up="million tokens an hour: own replicas (blue), the API (orange)",
        half=field.up / 2e6,
        most=field.up / 1e6,
    )
    if curve.hours_that_pay is not None and 0 < curve.hours_that_pay <= hours:
        yield field.upright(curve.hours_that_pay, f"{curve.hours_that_pay:,.0f} h pay a replica")


def _stairs(found: Stairs) -> Iterable[str]:
    """What each lane costs at each volume; where they cross; where demand is."""
    costs = [cost for stair in found.stairs for cost in (stair.from_cost, stair.to_cost)]
    most = max((stair.to_tokens for stair in found.stairs), default=0.0) / 1e6
    field = _Field(across=most or 1.0, up=max([*costs, *(cost for _, cost in found.api)], default=0.0) or 1.0)
    own = [
        point
        for stair in found.stairs
        for point in ((stair.from_tokens, stair.from_cost), (stair.to_tokens, stair.to_cost))
    ]
    for name, points, colour, dash in (
        ("api", found.api, API_COLOUR, ' stroke-dasharray="6 4"'),
        ("own", own, SELF_HOST_COLOUR, ""),
    ):
        line = _line(field, points)
        yield f'<path class="{name}" d="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
    for tokens, cost in found.crossings:
        yield (
            f'<circle cx="{field.x(tokens / 1e6)}" cy="{field.y(cost)}" r="4" fill="{STABLE_BREAKEVEN_COLOUR}" '
            'stroke="#ffffff"/>'
        )
    yield from field.axes(
        across="million tokens a day",
        up=f"{found.currency}: own replicas (line), the API (dashed)",
        half=field.up / 2,
        most=field.up,
    )
    if found.demand_tokens is not None and found.demand_tokens / 1e6 <= most:
        yield field.upright(found.demand_tokens / 1e6, "demand")


def _line(field: _Field, points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{field.x(tokens / 1e6)} {field.y(cost)}" for tokens, cost in points) if points else ""


def _number(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
