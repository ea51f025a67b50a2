"""What belongs beside verdicts: what would decide them, later days that are not settled, laws broken behind them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pipeline.cli.options import console
from pipeline.decisions.check_results import check_results
from pipeline.formats.writing import printable
from pipeline.reports import certainty, matches
from pipeline.reports.engines import adapter_lines, per_use_lines, refused_lines, role_lines
from pipeline.reports.figures import counted
from pipeline.reports.grain import hours_in_words, peaks_in_words
from pipeline.reports.idle_runs import conflict_lines, run_lines
from pipeline.reports.pools import pool_lines
from pipeline.reports.proof import Proof
from pipeline.reports.questions import Questions
from pipeline.reports.residuals import residual_lines

if TYPE_CHECKING:
    import polars as pl


def print_doubts(questions: Questions, verdicts: Sequence[Mapping[str, Any]], *, to_date: date) -> None:
    """In the order of days, then of workloads; nothing where every day up to `to_date` is settled and every law held.

    `verdicts`: rows of the question `verdicts`.
    """
    out = console()
    for line in (*_unsettled(questions, verdicts, to_date), *_unproven(questions, verdicts)):
        out.print(printable(line), style="yellow", markup=False)


def print_conditions(verdicts: Sequence[Mapping[str, Any]]) -> None:
    """What would have to be true, of each workload that is not decided because something is unknown or open; and what a
    pin costs.
    """
    for row in verdicts:
        if row["status"] in ("conditions", "bracketed", "pinned") and row["reason"]:
            console().print(printable(f"{row['workload']}: {row['reason']}"), markup=False)


def print_idle_runs(questions: Questions, *, currency: str, **period: date) -> None:
    """Below where the hours went: what ready time bought, the dearest idle runs, bills that are not their hours at the
    agreed rate, feeds that disagree about a GPU, and engines of which nothing can be counted.
    """
    for title, lines in (
        ("What ready GPUs bought:", pool_lines(questions.ask("gpu_waste", **period).to_dicts(), currency=currency)),
        ("Idle runs, the dearest:", run_lines(questions.ask("idle_runs", **period).to_dicts(), currency=currency)),
        ("Billed beside the agreed rate:", residual_lines(questions.ask("billing_residuals", **period).to_dicts())),
        ("Feeds that disagree:", conflict_lines(questions.ask("telemetry_conflicts", **period).to_dicts())),
        ("Not counted:", refused_lines(questions.ask("refused_addresses", **period).to_dicts())),
    ):
        if lines:
            console().print(title)
        for line in lines:
            console().print(printable(f"  {line}"), markup=False)


def print_engines(questions: Questions, *, currency: str, **period: date) -> None:
    """Below unit costs: what of engines and of services billed by use is not as simple as the table says."""
    for title, lines in (
        ("By adapter:", adapter_lines(questions.ask("adapter_costs", **period).to_dicts(), currency=currency)),
        ("Prompts computed apart:", role_lines(questions.ask("engine_roles", **period).to_dicts())),
        ("Billed by use:", per_use_lines(questions.ask("per_use_gaps", **period).to_dicts(), currency=currency)),
    ):
        if lines:
            console().print(title)
        for line in lines:
            console().print(printable(f"  {line}"), markup=False)


def print_certainty(questions: Questions, *, currency: str) -> None:
    """How sure each workload's newest verdict is; what is watched comes first."""
    rows = questions.ask("verdict_certainty", from_date=date.min, to_date=date.max).to_dicts()
    print_watches(rows)
    for row in rows:
        if row["status"] == "known":
            console().print(printable(f"How sure {row['workload']} is, 5 to 95%:"), markup=False)
            for line in certainty.lines(row, currency):
                console().print(printable(f"  {line}"), markup=False)


def print_watches(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of the question `verdict_certainty`. A watch is a line, never a message."""
    for line in filter(None, map(certainty.watch, rows)):
        console().print(printable(f"{line}."), style="cyan", markup=False)


def print_grain(questions: Questions) -> None:
    """Which days' hours are not metered, and how much of a replica-hour each verdict fills: alike ones in a line."""
    alike: dict[str, list[str]] = {}
    for row in questions.ask("demand_grain", from_date=date.min, to_date=date.max).to_dicts():
        for what, said in (("Demand", hours_in_words(row)), ("Peaks inside the hour", peaks_in_words(row))):
            if said is not None:
                alike.setdefault(f"{what}: {said}.", []).append(row["workload"])
    for said, workloads in alike.items():
        console().print(printable(f"{', '.join(workloads)}: {said}"), markup=False)


def print_matches(questions: Questions, *, only: Collection[str] | None = None) -> None:
    """Whether the API's model and the served one are the same, of all workloads or of these only."""
    rows = questions.ask("model_matches", from_date=date.min, to_date=date.max).to_dicts()
    for said in matches.alike(row for row in rows if only is None or row["workload"] in only):
        console().print(printable(said), markup=False)


def print_plans(questions: Questions) -> None:
    """What is best for all workloads of a deployment together, where that is more than a verdict of one says; what a
    tuned model's hosting and training make of a verdict; and what other ways to rent GPUs, where declared, come to.
    """
    for row in questions.ask("deployment_plans", to_date=date.max).to_dicts():
        said = f"All of {row['deployment_id']} together, {row['usage_date']}: {row['reason']}"
        console().print(printable(said), markup=False)
    for row in questions.ask("tuned_models", to_date=date.max).to_dicts():
        console().print(
            printable(f"The tuned model of {row['workload']}, {row['usage_date']}: {row['reason']}"), markup=False
        )
    for row in questions.ask("rental_plans", to_date=date.max).to_dicts():
        rented = "reserved" if row["plan"] == "reserved" else "started and stopped"
        said = f"{row['workload']} on {row['deployment_id']} {rented}, {row['usage_date']}: {row['reason']}"
        console().print(printable(said), markup=False)


def beside_plans(questions: Questions, verdicts: "pl.DataFrame") -> "pl.DataFrame":
    """The verdicts with `plan_replica_count`, where a plan of a workload's deployment has one for the same day: what
    serves all of them together, and with work that may wait in the valleys.
    """
    plans = questions.ask("plan_counts", to_date=date.max)
    found = verdicts.join(plans, on=["usage_date", "workload"], how="left", maintain_order="left")
    return verdicts if found["plan_replica_count"].null_count() == found.height else found


def _unsettled(questions: Questions, verdicts: Sequence[Mapping[str, Any]], to_date: date) -> list[str]:
    """From the first day that the verdicts do not speak of."""
    known = [row["usage_date"] for row in verdicts if row["status"] != "not_settled"]
    from_date = max(known) + timedelta(days=1) if known else date.min
    runs = questions.ask("unsettled_days", from_date=from_date, to_date=to_date).to_dicts()
    return [f"NOT SETTLED {_span(run)}: {run['reason']}." for run in runs]


def _span(run: Mapping[str, Any]) -> str:
    if run["days_count"] == 1:
        return f"{run['first_date']} UTC"
    return f"{run['first_date']} to {run['last_date']} UTC ({counted(run['days_count'], 'day')})"


def _unproven(questions: Questions, verdicts: Sequence[Mapping[str, Any]]) -> list[str]:
    results = check_results(questions.snapshot)
    if all(result.passed for result in results):
        return []
    proof = Proof.of(results, questions.ask("scope_feeds", from_date=date.min, to_date=date.max).to_dicts())
    lines = []
    for row in verdicts:
        laws = proof.of_workload(row["workload"], deployment_id=row["deployment_id"])
        if laws:
            lines.append(f"NOT PROVEN {row['workload']}: {', '.join(laws)} broken. See breakeven status.")
    return lines
