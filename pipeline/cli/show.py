"""`status`, `costs`, `waste`, `verdict`, `sql`: what is so, from the snapshot."""

import re
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import duckdb

from pipeline.alerts.problems import open_problems
from pipeline.alerts.told import standing
from pipeline.build.closing_tables import closing_of
from pipeline.cli.bridge import print_bridge
from pipeline.cli.cases import print_cases
from pipeline.cli.containers import NAMESPACE, answer_by_namespace
from pipeline.cli.conversion import print_unconverted, unconverted
from pipeline.cli.doubts import (
    beside_plans,
    print_certainty,
    print_conditions,
    print_doubts,
    print_engines,
    print_grain,
    print_idle_runs,
    print_matches,
    print_plans,
    print_watches,
)
from pipeline.cli.next_line import print_estimates, print_finding, print_hosts_seen, print_next
from pipeline.cli.options import (
    as_of_option,
    console,
    emit,
    format_option,
    open_project,
    period,
    period_options,
    print_table,
    project_option,
    snapshot_for,
)
from pipeline.cli.owners import CHOICES, DRIVER, answer_by_owner
from pipeline.cli.taxes import answer_taxes
from pipeline.config.whole import Config
from pipeline.decisions.check_results import check_results
from pipeline.decisions.graph import config_of
from pipeline.decisions.quarantine import REDACTED, quarantine_history
from pipeline.doctor.inputs import next_input
from pipeline.errors import BreakevenError
from pipeline.formats import currency as currencies
from pipeline.formats.writing import printable
from pipeline.reports.budgets import COLUMNS as BUDGET_COLUMNS
from pipeline.reports.budgets import budget_cells, how_forecast
from pipeline.reports.closing import closed_in_words
from pipeline.reports.curves import curves_of
from pipeline.reports.figures import counted, left_over, percent
from pipeline.reports.other_charges import in_words
from pipeline.reports.prepaid import COLUMNS as PREPAID_COLUMNS
from pipeline.reports.prepaid import NOTE as PREPAID_NOTE
from pipeline.reports.prepaid import prepaid_cells
from pipeline.reports.questions import Questions
from pipeline.reports.sections.controls import not_compared
from pipeline.reports.token_costs import splits_in_words
from pipeline.reports.words import money


def _answer(
    question: str,
    folder: Path | None,
    as_of: str | None,
    from_text: str | None,
    to_text: str | None,
    output_format: str,
    title: str,
) -> None:
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    config = config_of(project, snapshot)
    from_date, to_date = period(snapshot, from_text, to_text)
    days = f"{from_date} to {to_date} UTC (end excluded)"
    with Questions(snapshot) as questions:
        frame = questions.ask(question, from_date=from_date, to_date=to_date)
        if output_format == "table":
            # Nothing is unconverted where all money is in the reporting currency.
            frame = frame.drop([name for name in frame.columns if _UNCONVERTED in name and frame[name].is_null().all()])
        if output_format != "table":
            emit(frame, output_format)
            return
        if question == "unit_costs_by_class":
            frame = frame.select(_CLASS_COLUMNS)
        period_of: dict[str, Any] = {"from_date": from_date, "to_date": to_date}
        if frame.is_empty():
            console().print(f"{title}, {days}: nothing has come of which that could be said.")
            print_hosts_seen(questions, config.reporting_currency, **period_of)
            if question.startswith("unit_costs"):
                print_estimates(questions, **period_of)
        else:
            emit(frame, output_format, title=f"{title}, {days}, {_rc(config)}, snapshot {snapshot.snapshot_id}")
            if question == "unit_costs_by_class":
                for text in splits_in_words(questions.ask("token_class_weights", **period_of).to_dicts()):
                    console().print(printable(text), markup=False)
        if question == "waste":
            print_idle_runs(questions, currency=config.reporting_currency, **period_of)
        if question.startswith("unit_costs"):
            charges = questions.ask("api_other_charges", **period_of).to_dicts()
            beside = in_words(charges, reporting_currency=config.reporting_currency)
            if beside is not None:
                console().print(printable(beside), markup=False)
            print_engines(questions, currency=config.reporting_currency, **period_of)
            _print_budgets(questions, config, to_date=to_date)
            _print_prepaid(questions, **period_of)
        print_unconverted(unconverted(questions, config, **period_of))
        print_next(questions, project, config, **period_of)


def _print_budgets(questions: Questions, config: Config, *, to_date: date) -> None:
    """Those of the month in which the period ends."""
    last_day = to_date - timedelta(days=1)
    rows = questions.ask("budgets", from_date=last_day.replace(day=1), to_date=to_date).to_dicts()
    if rows:
        currency = config.reporting_currency
        cells = [budget_cells(row, currency=currency, money=partial(money, currency=currency)) for row in rows]
        print_table(BUDGET_COLUMNS, cells, f"Budgets, {last_day:%Y-%m} (UTC)")
        for text in how_forecast(rows):
            console().print(printable(text), markup=False)


def _print_prepaid(questions: Questions, **period_of: Any) -> None:
    """What prepaid accounts hold, and how long it lasts."""
    rows = questions.ask("prepaid", **period_of).to_dicts()
    if rows:
        print_table(PREPAID_COLUMNS, [prepaid_cells(row) for row in rows], "Prepaid accounts, each in its own currency")
        console().print(printable(PREPAID_NOTE), markup=False)


_UNCONVERTED = "unconverted_"
# What a terminal has room for; the other formats have all.
_CLASS_COLUMNS = (
    "model", "deployment_id", "token_class", "class_weight_methods", "tokens", "full_rc_per_mtok", "active_rc_per_mtok",
)  # fmt: skip


def _rc(config: Config) -> str:
    """What the columns of money are in."""
    return f"rc is {config.reporting_currency}"


@click.command()
@project_option
@as_of_option
@period_options
@format_option
@click.option("--by-class", "is_by_class", is_flag=True, help="Each token class, and by what a joint bill is split.")
@click.option(
    "--bridge",
    "is_bridge",
    is_flag=True,
    help="What changed since the month before, and why: the month of --to, in effects that sum to the change.",
)
@click.option(
    "--by",
    "by",
    type=click.Choice((*CHOICES, DRIVER, NAMESPACE)),
    default=None,
    help="What each owner cost, a unit of a driver, or servers by namespace as AWS splits them.",
)
@click.option("--taxes", "is_taxes", is_flag=True, help="Each resource of the bills with the taxes on it.")
def costs(
    folder: Path | None,
    as_of: str | None,
    from_text: str | None,
    to_text: str | None,
    output_format: str,
    is_by_class: bool,
    is_bridge: bool,
    by: str | None,
    is_taxes: bool,
) -> None:
    """What a million tokens really cost, per lane, model and deployment; and each budget of the month.

    Lanes: api, self_host (GPUs of your own), per_use (workers billed while they work: `per_use` in breakeven.yaml) and
    cloud_model (models that Bedrock, Azure or Vertex AI bill by the token, on a cloud's own bill).

    \b
    Examples:
      breakeven costs
      breakeven costs --by-class
      breakeven costs --by team
      breakeven costs --by driver --from 2026-10-01 --to 2026-11-01
      breakeven costs --by namespace
      breakeven costs --bridge --to 2026-11-01
      breakeven costs --taxes --from 2026-10-01 --to 2026-11-01
      breakeven costs --from 2026-10-01 --to 2026-11-01 --format csv
    """
    if is_by_class + is_bridge + is_taxes + (by is not None) > 1:
        raise click.UsageError("--by-class, --bridge, --by and --taxes are four questions: give one of them.")
    if is_taxes:
        answer_taxes(folder, as_of, from_text, to_text, output_format)
        return
    if is_bridge:
        print_bridge(folder, as_of, to_text, output_format)
        return
    if by == NAMESPACE:
        answer_by_namespace(folder, as_of, from_text, to_text, output_format)
        return
    if by is not None:
        answer_by_owner(by, folder, as_of, from_text, to_text, output_format)
        return
    question = "unit_costs_by_class" if is_by_class else "unit_costs"
    _answer(question, folder, as_of, from_text, to_text, output_format, "Realized unit costs")


_WASTE = {
    "state": ("waste", "GPU-hours and money by state"),
    "line": ("gpu_waste", "The GPU bill line by line"),
    "run": ("idle_runs", "Idle runs"),
    "replica": ("gpu_replicas", "Replicas and their GPUs"),
}


@click.command()
@project_option
@as_of_option
@period_options
@format_option
@click.option(
    "--by",
    "by",
    type=click.Choice(list(_WASTE)),
    default="state",
    show_default=True,
    help="line: what ready time bought, and all else; run: idle runs, where and how long; replica: which ran on which "
    "GPUs, with what part of them.",
)
def waste(
    folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None, output_format: str, by: str
) -> None:
    """Where the GPU bill went, by deployment and state. Unobserved is never called idle.

    \b
    Examples:
      breakeven waste
      breakeven waste --by run
      breakeven waste --by line
      breakeven waste --from 2026-11-01 --format json
    """
    question, title = _WASTE[by]
    _answer(question, folder, as_of, from_text, to_text, output_format, title)


_VERDICT_COLUMNS = (
    "usage_date",
    "workload",
    "status",
    "state",
    "recommendation",
    "demand_tokens_per_day",
    "demand_ratio",
    "api_only_cost_rc",
    "all_self_host_cost_rc",
    "best_cost_rc",
    "best_replica_count",
    # Where its deployment has a plan: for all of its workloads, those that may wait in the valleys.
    "plan_replica_count",
)


@click.command()
@project_option
@as_of_option
@format_option
@click.option("--workload", default=None, help="Only this one, with all its days.")
@click.option(
    "--charts",
    "charts_folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Draw the curves of the newest verdicts there, as PNG.",
)
def verdict(
    folder: Path | None, as_of: str | None, output_format: str, workload: str | None, charts_folder: Path | None
) -> None:
    """For each workload: stay, fill, release or switch, and at which volume that changes.

    Where GPUs, a rate or a capacity are neither measured nor declared: what they would have to be.

    Of its newest settled day; days since then that are not settled are named, with what they wait for.

    \b
    Examples:
      breakeven verdict
      breakeven verdict --workload support-chat --format json
      breakeven verdict --charts curves
    """
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    with Questions(snapshot) as questions:
        if charts_folder is not None:
            _draw_curves(questions, config_of(project, snapshot), charts_folder, workload)
            return
        if workload is None:
            frame = beside_plans(questions, questions.ask("verdicts", to_date=date.max))
        else:
            frame = questions.select(
                "select * from fct_verdicts_daily where workload = $workload order by usage_date",
                {"workload": workload},
            )
        shown = frame
        if output_format == "table":
            names = [*_VERDICT_COLUMNS, *([] if workload is None else ["reason"])]
            shown = frame.select([name for name in names if name in frame.columns])
        config = config_of(project, snapshot)
        title = f"Verdicts, {_rc(config)}, snapshot {snapshot.snapshot_id}"
        if shown.is_empty() and output_format == "table":
            console().print("No workload has a verdict yet." if workload is None else f"No verdict of {workload!r}.")
        else:
            emit(shown, output_format, title=title)
        if output_format == "table" and workload is None:
            print_conditions(frame.to_dicts())
            print_plans(questions)
            print_certainty(questions, currency=config.reporting_currency)
            print_grain(questions)
            print_matches(questions)
            print_doubts(questions, frame.to_dicts(), to_date=date.max)
            from_date, to_date = period(snapshot, None, None)
            print_next(questions, project, config, from_date=from_date, to_date=to_date)


def _draw_curves(questions: Questions, config: Config, folder: Path, workload: str | None) -> None:
    """Two PNG a workload, to hand to whoever is not here: which load pays a replica, and where the lanes cross."""
    period_of: dict[str, Any] = {"from_date": date.min, "to_date": date.max}
    rows = {row["workload"]: row for row in questions.ask("workload_curves", **period_of).to_dicts()}
    drawn: list[Path] = []
    for line in questions.ask("verdicts", **period_of).to_dicts():
        if workload not in (None, line["workload"]):
            continue
        for found in curves_of(line, rows.get(line["workload"]), config):
            folder.mkdir(parents=True, exist_ok=True)
            # A name is what a person once wrote; a file's is not.
            drawn.append(folder / f"{re.sub('[^A-Za-z0-9._-]', '_', line['workload'])}-{found.name}.png")
            drawn[-1].write_bytes(found.png())
            console().print(printable(f"{drawn[-1]}: {found.says}"), markup=False)
    if not drawn:
        console().print(
            "No curve to draw: it takes a verdict with a GPU rate, a capacity and demand by the hour.", markup=False
        )


_INVOICE_COLUMNS = (
    "source",
    "account",
    "invoice_count",
    "last_invoice_id",
    "period_start_date",
    "period_end_date",
    "line_count",
    "payable_cost",
    "billing_currency",
    "status",
)


_HOUR_MS = 3_600_000
_CONTROL_COLUMNS = (
    "control",
    "says_so",
    "bill",
    "book",
    "days",
    "book_cost",
    "control_cost",
    "control_less_book",
    "of_book",
    "not_compared",
)


_TELEMETRY_COLUMNS = ("prometheus", "measure", "days", "compared", "agents", "its", "its_less_agents", "of_agents")


def _telemetry_cells(line: dict[str, Any]) -> list[str]:
    """GPU time in GPU-hours; tokens as they are."""
    is_time = line["unit"] == "GPU-milliseconds"
    quantities = [line[name] for name in ("book_quantity", "control_quantity", "difference_quantity")]
    number = line["compared_count"]
    said = [f"{quantity / _HOUR_MS:,.2f}" if is_time else f"{quantity:,}" for quantity in quantities]
    return [
        line["control_account"],
        f"{line['measure']}{' (GPU-hours)' if is_time else ''}",
        str(line["compared_days_count"]),
        counted(number, "GPU-hour") if is_time else counted(number, "engine process", "engine processes"),
        *said,
        percent(line["difference_quantity"], line["book_quantity"]),
    ]


def _control_cells(line: dict[str, Any]) -> list[str]:
    currency = line["billing_currency"]
    amounts = (line[name] for name in ("book_cost", "control_cost", "difference_cost"))
    return [
        f"{line['control_source']} of {line['control_account']}",
        line["control_measure"],
        f"{line['issuer'] or '—'}, {line['account'] or '—'}",
        line["book_source"] or "—",
        str(line["compared_days_count"]),
        *("—" if amount is None else currencies.money(amount, currency) for amount in amounts),
        percent(line["difference_cost"], line["book_cost"]),
        not_compared(line),
    ]


@click.command()
@project_option
@as_of_option
@period_options
@format_option
def status(
    folder: Path | None, as_of: str | None, from_text: str | None, to_text: str | None, output_format: str
) -> None:
    """Sources, days, laws, quarantine, messages: what is settled, what is missing, what needs a person.

    \b
    Exit code 1 when a law is broken, a file is in quarantine or a message may not have arrived.

    \b
    Examples:
      breakeven status
      breakeven status --format json
    """
    project = open_project(folder)
    snapshot = snapshot_for(project, as_of)
    from_date, to_date = period(snapshot, from_text, to_text)
    with Questions(snapshot) as questions:
        config = config_of(project, snapshot)
        following = next_input(
            questions, config, from_date=from_date, to_date=to_date, is_config_landed=project.config == config
        )
        coverage = questions.ask("coverage", from_date=from_date, to_date=to_date)
        invoices = questions.ask("invoices")
        controls = questions.ask("control_differences", from_date=from_date, to_date=to_date)
        twice_seen = questions.ask("telemetry_differences", from_date=from_date, to_date=to_date).to_dicts()
        leftovers = questions.ask("leftovers", from_date=from_date, to_date=to_date).to_dicts()
        money = unconverted(questions, config, from_date=from_date, to_date=to_date)
        sure = questions.ask("verdict_certainty", from_date=date.min, to_date=date.max).to_dicts()
    laws = check_results(snapshot)
    history = quarantine_history(project, as_of=snapshot.as_of)
    quarantined = [item for item in history if item.ended is None]
    redacted = [item for item in history if item.ended == REDACTED]
    events = project.landing.events()
    problems = open_problems(events)
    cases = standing(events, max(snapshot.as_of, datetime.now(UTC)))
    closed = closed_in_words(closing_of(events), now=snapshot.as_of)
    emit(coverage, output_format, title=f"Sources, {from_date} to {to_date} UTC, snapshot {snapshot.snapshot_id}")
    if output_format == "table":
        if not invoices.is_empty():
            title = "Invoices that have come, whatever the period (ends excluded)"
            emit(invoices.select(_INVOICE_COLUMNS), output_format, title=title)
        if not controls.is_empty():
            title = "Controls beside the book of record, never summed: over the days that both state whole"
            print_table(_CONTROL_COLUMNS, [_control_cells(line) for line in controls.to_dicts()], title)
        if twice_seen:
            title = "Telemetry that agents and a Prometheus both have: the agents' counts, the other is never added"
            print_table(_TELEMETRY_COLUMNS, [_telemetry_cells(line) for line in twice_seen], title)
        print_unconverted(money)
        out = console()
        for item in quarantined:
            out.print(printable(f"QUARANTINE {item}"), style="red", markup=False)
        for item in redacted:
            out.print(printable(f"REDACTED {item}"), style="dim", markup=False)
        for law in laws:
            if not law.passed:
                broken = f"LAW BROKEN {law.law} ({law.scope}): {law.detail}"
                out.print(printable(broken), style="red", markup=False)
        for line in leftovers:
            if line["kind"] == "no_longer_billed":
                said = f"{line['resource_id']} of {line['issuer']}: {left_over(line['kind'], line['since_date'])}"
                out.print(printable(f"DECLARED {said} under gpu_resources."), style="yellow", markup=False)
        if cases:
            print_cases(cases)
        for problem in problems:
            out.print(f"MESSAGE {problem.in_words}", style="yellow", markup=False)
        print_watches(sure)
        if closed is not None:
            out.print(printable(closed), markup=False)
        held = sum(law.passed for law in laws)
        out.print(
            f"{held} of {len({law.law for law in laws})} laws held everywhere; "
            f"{counted(len(quarantined), 'file')} in quarantine."
        )
        print_finding(following)
    if quarantined or problems or any(not law.passed for law in laws):
        raise SystemExit(1)


@click.command()
@project_option
@as_of_option
@format_option
@click.argument("query", required=False)
def sql(folder: Path | None, as_of: str | None, output_format: str, query: str | None) -> None:
    """Ask the snapshot's tables directly; without a query, list them.

    \b
    Examples:
      breakeven sql
      breakeven sql "select usage_date, sum(billed_cost_rc) from fct_api_costs_daily group by 1 order by 1"
    """
    snapshot = snapshot_for(open_project(folder), as_of)
    with Questions(snapshot) as questions:
        try:
            frame = questions.select(query or _TABLES)
        except duckdb.Error as error:
            raise BreakevenError(f"DuckDB says: {' '.join(str(error).split())[:400]}") from None
    emit(frame, output_format)


_TABLES = """
select view_name as table_name, column_count as columns_count
from duckdb_views()
where not internal
order by view_name
"""
