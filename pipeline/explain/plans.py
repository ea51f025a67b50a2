"""`explain plan`: how many replicas pay for all workloads of a deployment together, every count recomputable by hand.

Formulas: economics.md section 4, written out here from the marts' rows; the published rows are compared.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise

from pipeline.explain.evidence import Evidence, Record
from pipeline.explain.explanation import Explanation, Rows, exact_text
from pipeline.explain.near import nearest
from pipeline.explain.verdict_arithmetic import Arithmetic
from pipeline.explain.verdict_inputs import days_in_month

_PREFILL = (
    "input_uncached",
    "input_cache_write_5m",
    "input_cache_write_30m",
    "input_cache_write_1h",
    "input_cache_write_12h",
)


def explain_plan(evidence: Evidence, *, deployment: str, usage_date: date | None = None) -> Explanation:
    """Work by hour and workload, what each count of replicas serves of it, and what the API takes."""
    rows = _published(evidence, deployment, usage_date)
    done = Arithmetic()
    decided = [row for row in rows if row["status"] == "decided"]
    tables = _write(done, evidence, decided) if decided else []
    said = dict.fromkeys(row["reason"] if row in decided else f"{row['workload']}: {row['reason']}" for row in rows)
    return Explanation(
        title=f"All of {deployment} together on {rows[0]['usage_date']}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=(*done.lines, *said),
        figures=tuple(
            Rows(
                f"{row['workload']}: fct_deployment_plans_daily",
                ("field", "value"),
                tuple((name, value) for name, value in row.items() if value is not None),
            )
            for row in rows
        ),
        inputs=tuple(tables),
        objects=(),
        equalities=tuple(done.equalities),
        outside_check=(
            f"Put the hours below into a spreadsheet, one column a workload of {deployment}, the dearest first: of "
            "each hour n replicas take n x c from the left, what may wait takes what is left of a later one, and the "
            "API the rest at its price.",
        ),
    )


@dataclass(frozen=True)
class _Class:
    """One workload: its work in each hour in replica-seconds, its price at the API, and how long it may wait."""

    name: str
    hours: Sequence[Fraction]
    price: Fraction
    wait: int


def _write(done: Arithmetic, evidence: Evidence, rows: Sequence[Record]) -> list[Rows]:
    day, name = rows[0]["usage_date"], rows[0]["deployment_id"]
    names = [row["workload"] for row in rows]
    days = [found["usage_date"] for found in evidence.ask("verdict_days", usage_date=day)]
    declared = evidence.ask("verdict_deployment", deployment=name, workload=None, usage_date=day)[-1]
    per_hour, seconds, spelled = _capacity(rows, declared)
    done.step("c, work that a replica takes in an hour", spelled, per_hour, "replica-seconds")
    tokens: dict[tuple[str, datetime], dict[str, int]] = {}
    for found in evidence.ask("plan_demand", workloads=names, days=days):
        tokens.setdefault((found["workload"], found["usage_hour_at"]), {})[found["token_class"]] = int(found["tokens"])
    hours = [datetime(one.year, one.month, one.day, hour) for one in days for hour in range(24)]  # noqa: DTZ001
    classes = []
    for row in rows:
        own = [tokens.get((row["workload"], at), {}) for at in hours]
        work = [sum((seconds[one] * count for one, count in of_hour.items() if count), Fraction(0)) for of_hour in own]
        whole, count = sum(work, Fraction(0)), sum(sum(of_hour.values()) for of_hour in own)
        price = Fraction(row["api_price_rc_per_mtok"]) / 1_000_000 * count / whole
        done.step(
            f"p of {row['workload']}, a replica-second at the API",
            f"{exact_text(row['api_price_rc_per_mtok'])} / 1000000 x {count} / {exact_text(whole)}",
            price,
        )
        done.check(f"{row['workload']} api_price_rc_per_replica_second", price, row["api_price_rc_per_replica_second"])
        done.check(f"{row['workload']} demand_replica_seconds", whole, row["demand_replica_seconds"])
        classes.append(_Class(row["workload"], work, price, int(row["may_wait_hours"] or 0)))
    classes.sort(key=lambda one: (-one.price, one.name))
    committed = _committed(done, evidence, rows, len(days))
    best = _counts(done, rows, classes, per_hour, committed, "")
    for number, (one, served) in enumerate(zip(classes, _served(classes, best * per_hour), strict=True), start=1):
        [row] = [found for found in rows if found["workload"] == one.name]
        done.check(f"{one.name} order_number", Fraction(number), row["order_number"])
        done.check(f"{one.name} served_replica_seconds", served, row["served_replica_seconds"])
    if any(one.wait for one in classes):
        _counts(
            done, rows, [_Class(one.name, one.hours, one.price, 0) for one in classes], per_hour, committed, " at once"
        )
    least, most = Fraction(rows[0]["best_cost_rc"]), Fraction(rows[0]["without_waiting_cost_rc"])
    month = days_in_month(day)
    saves = (most - least) / len(days) * month
    done.step("waiting saves a month", f"({exact_text(most)} - {exact_text(least)}) / {len(days)} x {month}", saves)
    table = [
        {"usage_hour_at": at, **{f"{one.name} asks": one.hours[index] for one in classes}}
        for index, at in enumerate(hours)
    ]
    table.sort(key=lambda found: (-sum(value for value in found.values() if isinstance(value, Fraction)), str(found)))
    return [Rows.of("Hours, busiest first (replica-seconds of work)", table)]


def _capacity(rows: Sequence[Record], declared: Record) -> tuple[Fraction, Mapping[str, Fraction], str]:
    """What a replica takes in an hour, and how long a token of each class takes it."""
    shares = [row["workload_allowance_ratio"] for row in rows if row["workload_allowance_ratio"] is not None]
    allowed = Fraction(min(shares) if shares else declared["peak_allowance"] or 1)
    prefill, decode = declared["prefill_tokens_per_second"], declared["decode_tokens_per_second"]
    if prefill is not None and decode is not None:
        cached = declared["cached_tokens_per_second"] or prefill
        seconds = dict.fromkeys(_PREFILL, 1 / Fraction(prefill))
        return (
            3600 * allowed,
            {
                **seconds,
                "input_cache_read": 1 / Fraction(cached),
                "output": 1 / Fraction(decode),
            },
            f"3600 x {exact_text(allowed)}",
        )
    if declared["tokens_per_second"] is not None:
        return 3600 * allowed, _Alike(1 / Fraction(declared["tokens_per_second"])), f"3600 x {exact_text(allowed)}"
    rate = Fraction(rows[0]["capacity_tokens_per_replica_hour"]) / 3600
    return Fraction(3600), _Alike(1 / rate), f"3600, at least: {rows[0]['capacity_source']}"


class _Alike(dict[str, Fraction]):
    """Every token class takes as long."""

    def __init__(self, seconds: Fraction) -> None:
        super().__init__()
        self._seconds = seconds

    def __missing__(self, key: str) -> Fraction:
        return self._seconds


def _committed(done: Arithmetic, evidence: Evidence, rows: Sequence[Record], days: int) -> Fraction:
    names = [row["workload"] for row in rows]
    shared = evidence.ask("plan_commitment", workloads=names, usage_date=rows[0]["usage_date"])
    committed = Fraction(0)
    if shared and shared[0]["due_cost_rc"] is not None:
        due, of_window = Fraction(shared[0]["due_cost_rc"]), int(shared[0]["window_days_count"])
        others = sum((Fraction(row["other_billed_cost_rc"]) for row in shared), Fraction(0))
        others += sum(
            (Fraction(row["token_billed_cost_rc"]) for row in shared if row["workload"] not in names), Fraction(0)
        )
        committed = max(Fraction(0), due - max(Fraction(0), others)) / of_window * days
        done.step(
            f"K of {shared[0]['commitment']}, due whatever moves",
            f"max(0, {exact_text(due)} - max(0, {exact_text(others)})) / {of_window} x {days}",
            committed,
        )
    for row in rows:
        done.check(f"{row['workload']} api_committed_cost_rc", committed, row["api_committed_cost_rc"])
    return committed


def _counts(
    done: Arithmetic,
    rows: Sequence[Record],
    classes: Sequence[_Class],
    per_hour: Fraction,
    committed: Fraction,
    named: str,
) -> int:
    """Every count up to the one that serves all; the best of them."""
    rent, fixed = Fraction(rows[0]["verdict_replica_cost_rc"]), Fraction(rows[0]["verdict_fixed_cost_rc"])
    whole = [sum(one.hours, Fraction(0)) for one in classes]
    totals: list[Fraction] = []
    while True:
        count = len(totals)
        above = [work - served for work, served in zip(whole, _served(classes, count * per_hour), strict=True)]
        api = sum((one.price * left for one, left in zip(classes, above, strict=True)), Fraction(0))
        totals.append(count * rent + (fixed if count else 0) + max(committed, api))
        spelled = " + ".join(
            f"{exact_text(one.price)} x {exact_text(left)}" for one, left in zip(classes, above, strict=True)
        )
        spelled = f"max({exact_text(committed)}, {spelled})" if committed else spelled
        own = f"{count} x {exact_text(rent)} + {exact_text(fixed)} + " if count else ""
        done.step(f"C({count}){named}", own + spelled, totals[-1])
        if not any(above):
            break
    best = min(range(len(totals)), key=lambda count: (totals[count], count))
    count_column, cost_column = (
        ("without_waiting_replica_count", "without_waiting_cost_rc")
        if named
        else ("best_replica_count", "best_cost_rc")
    )
    done.check(count_column, Fraction(best), rows[0][count_column])
    done.check(cost_column, totals[best], rows[0][cost_column])
    done.check(f"api_only_cost_rc{named}", totals[0], rows[0]["api_only_cost_rc"])
    return best


def _served(classes: Sequence[_Class], capacity: Fraction) -> list[Fraction]:
    """Of each class what is served: as much as can be of all up to it, less as much as can be of those before it."""
    upto = [Fraction(0), *(_most(classes[: number + 1], capacity) for number in range(len(classes)))]
    return [after - before for before, after in pairwise(upto)]


def _most(classes: Sequence[_Class], capacity: Fraction) -> Fraction:
    """What can be served of them within their hours: in each hour what must go soonest goes first."""
    queue: list[tuple[int, Fraction]] = []
    served = Fraction(0)
    for hour in range(len(classes[0].hours)):
        queue = [found for found in queue if found[0] >= hour]
        for one in classes:
            if one.hours[hour]:
                insort(queue, (hour + one.wait, one.hours[hour]))
        left = capacity
        while queue and left:
            until, work = queue.pop(0)
            taken = min(work, left)
            left, served = left - taken, served + taken
            if work > taken:
                queue.insert(0, (until, work - taken))
    return served


def _published(evidence: Evidence, deployment: str, usage_date: date | None) -> list[Record]:
    if usage_date is None:
        newest = evidence.select(
            "select max(usage_date) as usage_date from fct_deployment_plans_daily "
            "where deployment_id = $deployment and status = 'decided'",
            {"deployment": deployment},
        )
        usage_date = newest[0]["usage_date"]
    found = [] if usage_date is None else evidence.ask("plan", deployment=deployment, usage_date=usage_date)
    if found:
        return found
    when = f" on {usage_date}" if usage_date is not None else ""
    what = (
        f"No plan of {deployment}{when}: one is made where several workloads name a deployment, or one that "
        "`may_wait_hours` or is all bought in batch."
    )
    raise nearest(evidence, mart="fct_deployment_plans_daily", what=what, wanted={"deployment_id": deployment})
