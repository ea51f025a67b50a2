"""`explain verdict`: every number of a verdict, recomputable by hand."""

import contextlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta

from pipeline.economics.resampling import BLOCK_DAYS, RESAMPLES, SEED
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence, NothingToExplainError, Record
from pipeline.explain.explanation import Explanation, Rows
from pipeline.explain.gpu_costs import WasteFigure, explain_waste
from pipeline.explain.near import nearest
from pipeline.explain.tuned_models import write_tuned
from pipeline.explain.verdict_arithmetic import Arithmetic, write_out
from pipeline.explain.verdict_inputs import VerdictInputs, read_inputs


def explain_verdict(evidence: Evidence, *, workload: str, usage_date: date | None = None) -> Explanation:
    """Window, prices, rate, capacity, break-even, alternatives, alert states, and whence the money came."""
    row = _published(evidence, workload, usage_date)
    inputs = read_inputs(evidence, row)
    done = write_out(inputs)
    charges = _tuned(evidence, inputs, done)
    money = list(_money(evidence, inputs))
    return Explanation(
        title=f"Verdict of {workload} on {row['usage_date']}: {row['recommendation'] or row['status']}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=(
            _window(inputs),
            *done.lines,
            *([f"reason: {row['reason']}"] if row["reason"] else []),
            *_how_drawn(evidence, inputs),
        ),
        figures=(_as_list(row),),
        inputs=(*_inputs(inputs, done), *charges, *_states(evidence, inputs), *_certainty(evidence, inputs)),
        objects=tuple(_objects(evidence, inputs, money)),
        equalities=(
            *done.equalities,
            *(replace(found, claim=f"{part.title}: {found.claim}") for part in money for found in part.equalities),
        ),
        outside_check=tuple(_outside(inputs, money)),
    )


def _published(evidence: Evidence, workload: str, usage_date: date | None) -> Record:
    if usage_date is None:
        newest = evidence.select(
            "select max(usage_date) as usage_date from fct_verdicts_daily "
            "where workload = $workload and status != 'not_settled'",
            {"workload": workload},
        )
        usage_date = newest[0]["usage_date"]
    found = [] if usage_date is None else evidence.ask("verdict", workload=workload, usage_date=usage_date)
    if not found:
        raise _nothing(evidence, workload, usage_date)
    return found[0]


def _window(inputs: VerdictInputs) -> str:
    if not inputs.days:
        return "window: no settled day"
    return (
        f"window: {len(inputs.days)} settled days of the 28 up to {inputs.day} "
        f"({inputs.days[0]} to {inputs.days[-1]}), {inputs.hour_count} hours; "
        f"an hour of them that nothing metered had no demand{_shaped(inputs)}"
    )


def _shaped(inputs: VerdictInputs) -> str:
    """Days whose hours are a gateway's: the sums are still the meter's."""
    days = {row["usage_date"] for row in inputs.demand if row["evidence"] == "gateway_shape"}
    return f"; hours of {len(days)} of these days are a gateway's shape of the meter's sum" if days else ""


def _as_list(row: Record) -> Rows:
    """A wide row, one field a line."""
    return Rows(
        "The figure: fct_verdicts_daily",
        ("field", "value"),
        tuple((name, value) for name, value in row.items() if value is not None),
    )


def _inputs(inputs: VerdictInputs, done: Arithmetic) -> Iterable[Rows]:
    demand = inputs.tokens()
    rows = []
    for name, count in demand.items():
        parts = inputs.price_parts(name)
        rows.append(
            {
                "token_class": name,
                "demand_tokens": count,
                "of_which_api_tokens": inputs.tokens("api").get(name, 0),
                "price_basis": None if parts is None else parts[2],
                "price_numerator": None if parts is None else parts[0],
                "price_denominator_tokens": None if parts is None else parts[1],
                "per_mtok": None if parts is None else parts[0] * 1_000_000 / parts[1],
            }
        )
    yield Rows.of("Demand and prices by class, over the window", rows)
    yield Rows.of("GPU money and hours by day", inputs.gpu)
    if inputs.unconverted:
        yield Rows.of("Billed and not converted: no exchange rate", inputs.unconverted)
    yield Rows.of("Overheads", inputs.overheads)
    foreign = [rate for rate in inputs.rates if rate["rate_date"] is not None]
    if foreign:
        yield Rows.of("Exchange rates (x multiplier / divisor) of overheads and list prices, by day", foreign)
    if inputs.deployment is not None:
        fields = [(name, value) for name, value in inputs.deployment.items() if value is not None]
        yield Rows("The deployment as declared", ("field", "value"), tuple(fields))
    yield Rows.of(
        "Alternatives: n replicas, the API for what lies above",
        [
            {
                "replicas": found.replicas,
                "self_host_cost": found.self_host_cost,
                "overflow_replica_seconds": found.overflow_replica_seconds,
                "overflow_hours": found.overflow_hours,
                "api_overflow_cost": found.api_overflow_cost,
                "total_cost": found.total_cost,
            }
            for found in done.alternatives
        ],
    )
    yield Rows.of(
        "Work by hour, replica-seconds (busiest first)",
        [
            {"usage_hour_at": hour, "work_replica_seconds": work}
            for hour, work in sorted(done.work, key=lambda found: (-found[1], found[0]))
        ],
    )


def _tuned(evidence: Evidence, inputs: VerdictInputs, done: Arithmetic) -> list[Rows]:
    """The verdict once more with what its tuned model costs beside tokens, where there is such a row of the day."""
    asked = {"workload": inputs.row["workload"], "usage_date": inputs.day}
    rows = evidence.ask("tuned_model", **asked)
    if not rows:
        return []
    charges = evidence.ask("tuned_model_charges", **asked)
    write_tuned(done, inputs, rows[0], charges)
    return [
        Rows(
            "With its tuned model: fct_tuned_models_daily",
            ("field", "value"),
            tuple((name, value) for name, value in rows[0].items() if value is not None),
        ),
        Rows.of("What is billed for its tuned model", charges),
    ]


def _states(evidence: Evidence, inputs: VerdictInputs) -> Iterable[Rows]:
    yield Rows.of("Alert rule", evidence.ask("verdict_rule"))
    yield Rows.of(
        "Alert states, newest first",
        evidence.ask("verdict_states", workload=inputs.row["workload"], usage_date=inputs.day),
    )


def _certainty(evidence: Evidence, inputs: VerdictInputs) -> Iterable[Rows]:
    """How sure the verdict is, where an interval was made of its day, and all that its resamples draw."""
    asked = {"workload": inputs.row["workload"], "usage_date": inputs.day}
    for title, question in (
        ("How sure: fct_verdict_intervals_daily", "verdict_interval"),
        ("Forecast: fct_demand_forecasts_daily", "verdict_forecast"),
    ):
        for row in evidence.ask(question, **asked):
            known = tuple((name, value) for name, value in row.items() if value is not None)
            yield Rows(title, ("field", "value"), known)
    if _is_drawn(evidence, inputs):
        drawn = evidence.ask("verdict_drawn_days", workload=inputs.row["workload"], days=list(inputs.days))
        yield Rows.of("The days that are drawn again, by class", drawn)


def _is_drawn(evidence: Evidence, inputs: VerdictInputs) -> bool:
    asked = evidence.ask("verdict_interval", workload=inputs.row["workload"], usage_date=inputs.day)
    return any(row["status"] == "known" for row in asked)


def _how_drawn(evidence: Evidence, inputs: VerdictInputs) -> Iterable[str]:
    """What it takes to draw the same days again."""
    if not _is_drawn(evidence, inputs):
        return
    count = len(inputs.days)
    last = (count - 1) % BLOCK_DAYS + 1
    yield (
        f"how sure: {RESAMPLES} resamples of {count} days in blocks of {BLOCK_DAYS}: with u from Python's "
        f"random.Random({SEED}).random(), each block but the last begins on day int(u x {count - BLOCK_DAYS + 1}) "
        f"(counted from 0), the last one, of {last} days, on int(u x {count - last + 1})"
    )
    yield (
        "of each resample the same steps as above, over its days: price of a class = its billed cost / its billed "
        "tokens (where none was billed, as above), rate = GPU money / GPU time, capacity and mix by its own tokens; R, "
        "F and the hours are of as many days as above"
    )
    yield "5, 50 and 95% are the ceil(q n)-th smallest; no break-even counts as infinite"


def _money(evidence: Evidence, inputs: VerdictInputs) -> Iterable[Explanation]:
    """The two bills behind the verdict, each traced as its own command does; days in between are theirs too."""
    if not inputs.days:
        return
    start, end = inputs.days[0], inputs.days[-1] + timedelta(days=1)
    with contextlib.suppress(NothingToExplainError):
        yield explain_cost(evidence, CostFigure(from_date=start, to_date=end, workload=inputs.row["workload"]))
    if inputs.row["deployment_id"] is None:
        return
    figure = WasteFigure(from_date=start, to_date=end, deployment=inputs.row["deployment_id"])
    with contextlib.suppress(NothingToExplainError):
        yield explain_waste(evidence, figure, has_samples=False)


def _objects(evidence: Evidence, inputs: VerdictInputs, money: Iterable[Explanation]) -> Iterable[Rows]:
    for part in money:
        for rows in part.objects:
            if rows.rows and rows.title.startswith(("Objects", "Invoice lines", "Agreed rates")):
                yield Rows(f"{part.title}: {rows.title}", rows.columns, rows.rows)
    if inputs.row["deployment_id"] is None or not inputs.days:
        return
    evidence.trace("landed_nvml_spool__engine_scrapes", inputs.days)
    evidence.trace_model("stg_prometheus__engine_scrapes", inputs.days)
    scrapes = evidence.ask("verdict_scrapes", deployment=inputs.row["deployment_id"])
    yield Rows.of(
        "Objects of the token counters",
        [{**evidence.object_record(row["object_number"]), "scrapes": row["scrape_count"]} for row in scrapes],
    )


def _outside(inputs: VerdictInputs, money: Iterable[Explanation]) -> Iterable[str]:
    for part in money:
        yield from part.outside_check
    if inputs.row["deployment_id"] is not None and inputs.days:
        yield (
            "Token counters, day by day with their PromQL: breakeven explain tokens --deployment "
            f"{inputs.row['deployment_id']} --date {inputs.days[-1]}"
        )


def _nothing(evidence: Evidence, workload: str, usage_date: date | None) -> NothingToExplainError:
    when = f" on {usage_date}" if usage_date is not None else ""
    return nearest(
        evidence, mart="fct_verdicts_daily", what=f"No verdict of {workload}{when}.", wanted={"workload": workload}
    )
