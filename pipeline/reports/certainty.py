"""How sure a verdict is, in words: the same for the terminal, the morning's assets and the monthly report.

A row is one of the question `verdict_certainty`. Money is in the reporting currency.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pipeline.reports import figures

Answer = Mapping[str, Any]

INPUT_NAMES: Mapping[str, str] = {
    "api_price": "the API's price",
    "gpu_rate": "the GPU rate",
    "capacity": "the capacity of a replica",
    "traffic": "traffic",
}
_SIDES: Mapping[str, str] = {"api": "the API", "self_host": "own GPUs"}
HORIZON = "not within 180 days"


def sentence(row: Answer, currency: str) -> str:
    """All of it in one line."""
    return "; ".join(lines(row, currency))


def lines(row: Answer, currency: str) -> list[str]:
    """Break-even, saving and what it depends on, what is declared of quality, the crossing: each a line of its own."""
    with_quality = quality(row, currency)
    declared = [] if with_quality is None else [with_quality]
    if row["status"] != "known":
        return [f"no interval: {row['reason']}", *declared]
    said = [f"first break-even {breakeven(row)}; the next 30 days reach it in {reached(row)}"]
    sure = {True: ": sure enough", False: ": NOT SURE ENOUGH", None: ""}[row["is_sure"]]
    mattering = matters_most(row, currency)
    most = "" if mattering is None else f"; most depends on {mattering}"
    return [*said, f"{advice(row, currency)}{sure}{most}", *declared, crossing(row)]


def breakeven(row: Answer) -> str:
    """`120.00 to 137.00 million tokens a day (5 to 95%)`, and how likely there is none."""
    low, high = row["breakeven_p05_tokens_per_day"], row["breakeven_p95_tokens_per_day"]
    if low is None:
        return "at no volume in 95% of resamples"
    never = row["no_breakeven_probability_ratio"]
    upper = "never" if high is None else f"{figures.millions(high)}"
    also = f", none at all in {figures.percent(never, 1)}" if never else ""
    return f"{figures.millions(low)} to {upper} million tokens a day (5 to 95%{also})"


def reached(row: Answer) -> str:
    return figures.percent(row["exceeded_probability_ratio"], 1)


def saving(row: Answer, currency: str) -> str:
    """5 to 95% of what the advice saves a month, and how likely it saves at all."""
    low, high = row["saving_p05_rc_per_month"], row["saving_p95_rc_per_month"]
    likely = figures.percent(row["saving_probability_ratio"], 1)
    return f"{figures.priced(low, currency)} to {figures.priced(high, currency)} a month, above zero in {likely}"


def advice(row: Answer, currency: str) -> str:
    """What the verdict's own count does; where it changes nothing, how likely the other side would have been.

    Of a workload that is pinned to a lane: what the pin costs, in the stead of any advice.
    """
    if row["pinned_to"] is not None:
        return pin(row, currency)
    if row["saving_rc_per_month"]:
        return f"the advice saves {saving(row, currency)}{_paid_back(row, currency)}"
    likely = figures.percent(row["self_host_probability_ratio"], 1)
    return f"the best mix has own GPUs in {likely}"


def _paid_back(row: Answer, currency: str) -> str:
    """How likely what the move costs once is paid back in time; nothing where it costs nothing."""
    one_off, limit = row["migration_one_off_rc"], row["migration_payback_months"]
    if one_off is None:
        return ""
    training = row["training_one_off_rc"]
    whole, of_it = one_off, ""
    if training is not None:
        whole, of_it = one_off + training, f" ({figures.priced(training, currency)} of it training, as last billed)"
    likely, cautious = figures.percent(row["pays_back_probability_ratio"], 1), row["saving_p20_rc_per_month"]
    after = f"after {float(whole) / cautious:,.1f} months at its 20%" if cautious > 0 else "never at its 20%"
    months = figures.counted(limit, "month")
    return f"; {figures.priced(whole, currency)} spent once{of_it} is paid back within {months} in {likely}, {after}"


def quality(row: Answer, currency: str) -> str | None:
    """The verdict once more with what is declared of quality; None where nothing is."""
    share, tokens = row["movable_share_ratio"], row["tokens_per_api_token"]
    if share is None and tokens is None:
        return None
    terms = [
        *([] if share is None else [f"{figures.percent(share, 1)} of it moving"]),
        *([] if tokens is None else [f"{float(tokens):,.4g} own tokens for one of the API"]),
    ]
    told = f"with {' and '.join(terms)}, as declared"
    if row["quality_best_replica_count"] is None:
        return f"{told}: {row['quality_reason']}"
    volume = row["quality_breakeven_tokens_per_day"]
    first = "none at any volume" if volume is None else f"{figures.millions(volume)} million tokens a day"
    best = figures.counted(row["quality_best_replica_count"], "replica")
    saves = figures.priced(row["quality_saving_rc_per_month"], currency)
    advised = str(row["quality_recommendation"] or row["quality_status"]).replace("_", " ")
    return f"{told}: {advised}; first break-even {first}, {best} best, which saves {saves} a month"


def pin(row: Answer, currency: str) -> str:
    """5 to 95% of what the lane it is pinned to costs a month above the best mix."""
    lane = _SIDES.get(row["pinned_to"], str(row["pinned_to"]))
    if row["pin_cost_rc_per_month"] is None:
        return f"pinned to {lane}: what that costs is not known"
    low, middle, high = (
        figures.priced(row[name], currency)
        for name in ("pin_cost_p05_rc_per_month", "pin_cost_rc_per_month", "pin_cost_p95_rc_per_month")
    )
    likely = figures.percent(row["pin_cost_probability_ratio"], 1)
    return f"the pin to {lane} costs {middle} a month ({low} to {high}), more than nothing in {likely}"


def matters_most(row: Answer, currency: str) -> str | None:
    """The input whose own 5 and 95% move the saving furthest; None where none does, or no saving is advised."""
    if row["pinned_to"] is not None:
        return None

    def swing(name: str) -> float:
        return abs(float(row[f"saving_at_{name}_p95_rc_per_month"]) - float(row[f"saving_at_{name}_p05_rc_per_month"]))

    most = max(INPUT_NAMES, key=swing)
    if swing(most) == 0:
        return None
    ends = (row[f"saving_at_{most}_{share}_rc_per_month"] for share in ("p05", "p95"))
    low, high = (figures.priced(end, currency) for end in ends)
    return f"{INPUT_NAMES[most]} ({low} at its 5%, {high} at its 95%)"


def exchange_rates(row: Answer) -> str | None:
    """What 5% more or less of every foreign currency makes of the count; None where all is in one currency."""
    if row["foreign_currencies"] is None:
        return None
    less, more = (row[f"best_at_fx_{side}_replica_count"] for side in ("less", "more"))
    if less == more:
        return f"{row['foreign_currencies']} 5% less or more: {figures.counted(less, 'replica')} either way"
    return f"{row['foreign_currencies']} 5% less: {figures.counted(less, 'replica')}; 5% more: {more}"


def overheads(row: Answer, currency: str) -> str:
    """The verdict without overheads, and what they may come to before the API alone is as cheap."""
    without = figures.counted(row["best_without_overheads_replica_count"], "replica")
    turning = row["breakeven_overheads_rc_per_month"]
    declared = figures.priced(row["overheads_rc_per_month"], currency)
    turns = (
        "GPUs of one's own would not pay without any"
        if turning <= 0
        else f"the API alone is as cheap at {figures.priced(turning, currency)}"
    )
    return f"{declared} a month declared; {turns}; at none, {without} would be best"


def crossing(row: Answer) -> str:
    """When the 5, 50 and 95% paths of demand are across, or why that is not said."""
    if row["forecast_status"] != "known":
        return f"no crossing is forecast: {row['forecast_reason'] or 'nothing is known of its demand'}"
    side = _SIDES.get(row["crosses_to"], str(row["crosses_to"]))
    low, middle, high = (row[f"{share}_crosses_on_date"] for share in ("p05", "p50", "p95"))
    soon = row["crosses_within_30_days_probability_ratio"]
    crosses = (
        f"demand crosses towards {side} on {figures.day(middle)}" if middle else f"demand crosses to {side} {HORIZON}"
    )
    if soon is None:
        return f"{crosses}, by its level and trend alone: {row['forecast_reason']}"
    if low is None and middle is None and high is None:
        return f"{crosses}, nor do its 5% and 95% paths"
    return f"{crosses} (5% path {_on(low)}, 95% path {_on(high)}; within 30 days in {figures.percent(soon, 1)})"


def watch(row: Answer) -> str | None:
    """The quiet line of a workload that is as likely as not to cross within 30 days. It is no case of its own."""
    return f"WATCH {row['workload']}: {crossing(row)}" if row["is_watch"] else None


def _on(day: date | None) -> str:
    return HORIZON if day is None else f"on {figures.day(day)}"
