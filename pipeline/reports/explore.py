"""The explorer: one HTML page that opens from disk and slices costs, prices, GPU time and verdicts by day.

Its data is embedded by columns: names once, a number a cell. Money is in millionths, rounded so that every sum over the
page is the marts' own; of each dimension the 200 names with most stay, the rest is one.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.build.snapshot import Snapshot
from pipeline.charts import palette
from pipeline.config.whole import Config
from pipeline.formats import currency as currencies
from pipeline.reports import figures
from pipeline.reports.sections.month import LINE_KINDS, Asks, lane_name

Row = Mapping[str, Any]
MOST_NAMES = 200
_MICRO = 10**6
_LANES = {"gpu": "GPUs", "cloud": "clouds, all else"}


@dataclass(frozen=True, kw_only=True)
class View:
    """One table to slice. dims: (column, title, what stands for none). values: (column, title, kind of figure).

    Of the values the first is shown first; `per` is what one value is divided by another for.
    """

    name: str
    title: str
    question: str
    dims: Sequence[tuple[str, str, str]]
    values: Sequence[tuple[str, str, str]]


VIEWS = (
    View(
        name="costs",
        title="Costs",
        question="explore_costs",
        dims=(
            ("team", "Team", "no team"),
            ("cost_centre", "Cost centre", "no cost centre"),
            ("environment", "Environment", "no environment"),
            ("workload", "Workload", "no workload"),
            ("deployment_id", "Deployment", "no deployment"),
            ("lane", "Lane", "no lane"),
            ("account", "Account", "no account"),
            ("cost_measure", "Measure", "no measure"),
        ),
        values=(("cost_rc", "Cost", "money"),),
    ),
    View(
        name="units",
        title="Models",
        question="explore_units",
        dims=(
            ("model", "Model", "no model"),
            ("deployment_id", "Deployment", "an API"),
            ("provider", "Provider", "no provider"),
            ("lane", "Lane", "no lane"),
            ("cost_measure", "Measure", "no measure"),
        ),
        values=(
            ("cost_rc", "Full cost", "money"),
            ("tokens", "Tokens", "tokens"),
            ("price", "Per million tokens", "price"),
        ),
    ),
    View(
        name="waste",
        title="GPU time",
        question="explore_waste",
        dims=(
            ("state", "State", "no state"),
            ("deployment_id", "Deployment", "no deployment"),
            ("issuer", "Issuer", "no issuer"),
            ("account", "Account", "no account"),
            ("cost_measure", "Measure", "no measure"),
        ),
        values=(("cost_rc", "Cost", "money"), ("gpu_milliseconds", "GPU-hours", "hours")),
    ),
)


def explore_page(asks: Asks, snapshot: Snapshot, *, config: Config, from_date: date, to_date: date) -> str:
    """The page over [from_date, to_date), from the first day that has something, as one HTML text: it asks nothing of
    the network. Same snapshot, same bytes.
    """
    days = {"from_date": from_date, "to_date": to_date}
    answers = {view.name: asks.ask(view.question, **days).to_dicts() for view in VIEWS}
    verdicts = asks.ask("explore_verdicts", **days).to_dicts()
    known = [row["usage_date"] for rows in (*answers.values(), verdicts) for row in rows]
    from_date = min(known, default=from_date)
    data = {
        "from": from_date.isoformat(),
        "days": (to_date - from_date).days,
        "currency": config.reporting_currency,
        "digits": currencies.minor_digits(config.reporting_currency),
        "views": [encoded(view, answers[view.name], from_date=from_date) for view in VIEWS],
        "verdicts": _verdicts(verdicts, from_date=from_date),
    }
    environment = Environment(
        loader=PackageLoader("pipeline.reports", "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    script = environment.loader.get_source(environment, "explore.js")[0] if environment.loader else ""
    # `</script>` and `<!--` cannot stand in a string that has no `<`.
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    return environment.get_template("explore.html.j2").render(
        company=figures.visible(config.company),
        period=f"{figures.day(from_date)} to {figures.day(to_date - timedelta(days=1))}, days in UTC",
        currency=config.reporting_currency,
        facts=(
            ("Snapshot", snapshot.snapshot_id),
            ("As of", figures.moment(snapshot.as_of)),
            ("Release", f"breakeven {snapshot.release}"),
        ),
        data=Markup(text),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def encoded(view: View, rows: Sequence[Row], *, from_date: date) -> dict[str, Any]:
    """A view by columns: of each dimension its names and a place a row, of each value a number a row."""
    kept = {column: _names(rows, column) for column, _, _ in view.dims}
    stored = [column for column, _, kind in view.values if kind != "price"]
    cells: dict[tuple[int, ...], list[Decimal]] = {}
    unknown: dict[tuple[int, ...], int] = {}
    for row in rows:
        key = ((row["usage_date"] - from_date).days, *(kept[column][row[column]] for column, _, _ in view.dims))
        sums = cells.setdefault(key, [Decimal(0)] * len(stored))
        for place, column in enumerate(stored):
            sums[place] += row[column] or 0
        unknown[key] = unknown.get(key, 0) + row["unknown_count"]
    keys = sorted(cells)
    return {
        "name": view.name,
        "title": view.title,
        "day": [key[0] for key in keys],
        "dims": [
            {
                "title": title,
                "names": _titles(kept[column], column, none),
                "row": _unless_all_zero([key[place] for key in keys]),
            }
            for place, (column, title, none) in enumerate(view.dims, start=1)
        ],
        "values": [
            {"title": title, "kind": kind}
            | ({"row": _whole([cells[key][stored.index(column)] for key in keys], kind)} if kind != "price" else {})
            for column, title, kind in view.values
        ],
        "unknown": _unless_all_zero([unknown[key] for key in keys]),
        "colours": [palette.state_colour(name) for name in kept["state"] if name is not None]
        if view.name == "waste"
        else [],
    }


def _unless_all_zero(column: list[int]) -> list[int]:
    """Empty where it says nothing: a name that is the only one, an unknown that there is not."""
    return column if any(column) else []


def _names(rows: Sequence[Row], column: str) -> dict[str | None, int]:
    """Each name's place: most cost first, then by name; beyond the 200th all have one."""
    sizes: dict[str | None, Decimal] = {}
    for row in rows:
        sizes[row[column]] = sizes.get(row[column], Decimal(0)) + abs(row["cost_rc"] or Decimal(0))
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name is None, name or ""))
    return {name: min(place, MOST_NAMES) for place, name in enumerate(ranked)}


def _titles(places: Mapping[str | None, int], column: str, none: str) -> list[str]:
    found = [_title(name, column, none) for name, place in places.items() if place < MOST_NAMES]
    left = len(places) - len(found)
    return [*found, f"{left} other"] if left > 0 else found


def _title(name: str | None, column: str, none: str) -> str:
    if name is None:
        return none
    if column == "state":
        return LINE_KINDS.get(name) or palette.state_label(figures.visible(name))
    return _LANES.get(name) or lane_name(figures.visible(name)) if column == "lane" else figures.visible(name)


def _whole(values: Sequence[Decimal], kind: str) -> list[int]:
    """Whole numbers whose running sums are those of the values, rounded: money in millionths, the rest as it is."""
    if kind != "money":
        return [int(value) for value in values]
    whole, reached, written = [], Decimal(0), 0
    for value in values:
        reached += value
        units = round(reached * _MICRO)
        whole.append(units - written)
        written = units
    return whole


def _verdicts(rows: Sequence[Row], *, from_date: date) -> list[dict[str, Any]]:
    """A workload each: its newest verdict of the period, and its demand over the first break-even by day."""
    by_workload: dict[str, list[Row]] = {}
    for row in rows:
        by_workload.setdefault(row["workload"], []).append(row)
    ranked = sorted(
        by_workload.items(), key=lambda item: (-abs(item[1][-1]["saving_rc_per_month"] or Decimal(0)), item[0])
    )
    return [
        {
            "workload": figures.visible(workload),
            "team": figures.name(own[-1]["team"], "no team"),
            "deployment": figures.name(own[-1]["deployment_id"], "no deployment"),
            "advice": (own[-1]["recommendation"] or own[-1]["status"]).replace("_", " "),
            "date": own[-1]["usage_date"].isoformat(),
            "demand": own[-1]["demand_tokens_per_day"],
            "breakeven": own[-1]["breakeven_first_tokens_per_day"],
            "ratio": own[-1]["demand_ratio"],
            "saving": None if own[-1]["saving_rc_per_month"] is None else float(own[-1]["saving_rc_per_month"]),
            "days": [
                [(row["usage_date"] - from_date).days, round(row["demand_ratio"], 4)]
                for row in own
                if row["demand_ratio"] is not None
            ],
        }
        for workload, own in ranked
    ]
