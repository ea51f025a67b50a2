"""`explain`: where a published figure comes from, down to the landed rows, and what to compare it with elsewhere."""

import functools
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click

from pipeline.cli.explained import as_json, print_explanation
from pipeline.cli.groups import WholeSentences
from pipeline.cli.options import as_of_option, open_project, period, project_option, snapshot_for
from pipeline.decisions.graph import shipped_graph
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.gpu_costs import WasteFigure, explain_waste
from pipeline.explain.invoices import explain_invoice
from pipeline.explain.plans import explain_plan
from pipeline.explain.releases import explain_fill, explain_release
from pipeline.explain.tokens import explain_tokens
from pipeline.explain.verdicts import explain_verdict
from pipeline.explain.weights import explain_weights


@click.group(cls=WholeSentences)
def explain() -> None:
    """Where a figure comes from: formula, inputs, landed objects and rows, and an outside check.

    \b
    Every explanation sums the landed rows again and compares. Exit code 1 when a sum does not agree.

    \b
    Examples:
      breakeven explain cost --model claude-haiku-4-5
      breakeven explain waste --deployment chat-llama --state loaded_idle
      breakeven explain verdict support-chat
      breakeven explain release chat-llama
      breakeven explain fill chat-llama
      breakeven explain plan chat-llama
      breakeven explain weights chat-llama
      breakeven explain invoice INV-2026-10
      breakeven explain tokens --deployment chat-llama --date 2026-11-10
      breakeven explain receipt 0123456789abcdef-2026-10-0123456789
    """


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every explanation has, in one order."""
    for option in (_printed, as_of_option, project_option):
        command = option(command)
    return command


def _printed(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--limit",
            type=click.IntRange(min=1),
            default=12,
            show_default=True,
            help="Rows printed of each table; JSON carries all.",
        ),
        click.option(
            "--format", "output_format", type=click.Choice(["table", "json"]), default="table", show_default=True
        ),
    ):
        command = option(command)
    return command


def _days(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--to", "to_text", metavar="DATE", default=None, help="Day after the last. [default: the end]"),
        click.option("--from", "from_text", metavar="DATE", default=None, help="First UTC day. [default: 30 days]"),
        click.option("--date", "date_text", metavar="DATE", default=None, help="One UTC day."),
    ):
        command = option(command)
    return command


def _one_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a date like 2026-11-01.", param_hint="--date") from None


class _Asked:
    """An explanation in the making: the snapshot asked for, opened, and how to print."""

    def __init__(self, folder: Path | None, as_of: str | None, output_format: str, limit: int) -> None:
        self.project = open_project(folder)
        self.snapshot = snapshot_for(self.project, as_of)
        self._output_format = output_format
        self._limit = limit

    def range(self, date_text: str | None, from_text: str | None, to_text: str | None) -> tuple[date, date]:
        if date_text is None:
            return period(self.snapshot, from_text, to_text)
        if from_text is not None or to_text is not None:
            raise click.BadParameter(
                "is one day; --from and --to are a range. Give one or the other.", param_hint="--date"
            )
        day = _one_day(date_text)
        return day, day + timedelta(days=1)

    def answer(self, explained: Callable[[Evidence], Explanation]) -> None:
        datasets = shipped_graph().datasets
        project = self.project
        with Evidence(
            self.snapshot,
            landing=project.landing,
            datasets=datasets,
            cache=project.paths.cache,
            shared=project.shared,
        ) as evidence:
            explanation = explained(evidence)
        if self._output_format == "json":
            click.echo(json.dumps(as_json(explanation), indent=2, ensure_ascii=True))
        else:
            print_explanation(explanation, limit=self._limit)
        if not explanation.holds:
            raise SystemExit(1)


@explain.command()
@click.option("--model", default=None, help="Model, like claude-haiku-4-5.")
@click.option("--account", default=None, help="Account as named in breakeven.yaml.")
@click.option(
    "--sub-account", default=None, help="Workspace or project, as the vendor calls it; Default for the default one."
)
@click.option("--class", "token_class", default=None, help="Token class (output, input_uncached, ...) or charge kind.")
@click.option("--api-key", default=None, help="API key id; none for charges without one.")
@click.option("--workload", default=None, help="Workload as named in breakeven.yaml.")
@_days
@_common
def cost(
    *,
    folder: Path | None,
    as_of: str | None,
    output_format: str,
    limit: int,
    date_text: str | None,
    from_text: str | None,
    to_text: str | None,
    **filters: Any,
) -> None:
    """An API cost and its price per million tokens.

    \b
    Examples:
      breakeven explain cost --model claude-haiku-4-5 --date 2026-11-10
      breakeven explain cost --workload support-chat --class output --format json
    """
    asked = _Asked(folder, as_of, output_format, limit)
    from_date, to_date = asked.range(date_text, from_text, to_text)
    asked.answer(functools.partial(explain_cost, figure=CostFigure(from_date=from_date, to_date=to_date, **filters)))


@explain.command()
@click.option("--deployment", default=None, help="Deployment as named in breakeven.yaml.")
@click.option("--resource", default=None, help="Resource id as on the bill.")
@click.option("--state", default=None, help="serving, loaded_idle, starting, held_other, unallocated, unobserved, ...")
@_days
@_common
def waste(
    *,
    folder: Path | None,
    as_of: str | None,
    output_format: str,
    limit: int,
    date_text: str | None,
    from_text: str | None,
    to_text: str | None,
    deployment: str | None,
    resource: str | None,
    state: str | None,
) -> None:
    """GPU money and hours by state, of a deployment or a resource.

    \b
    Examples:
      breakeven explain waste --deployment chat-llama --state loaded_idle --date 2026-11-10
      breakeven explain waste --resource i-demo-h100-2 --from 2026-10-01 --to 2026-11-01
    """
    if deployment is None and resource is None:
        raise click.UsageError("Name a --deployment or a --resource. `breakeven waste` lists them.")
    asked = _Asked(folder, as_of, output_format, limit)
    from_date, to_date = asked.range(date_text, from_text, to_text)
    figure = WasteFigure(from_date=from_date, to_date=to_date, deployment=deployment, resource=resource, state=state)
    asked.answer(functools.partial(explain_waste, figure=figure))


@explain.command()
@click.argument("workload")
@click.option("--date", "date_text", metavar="DATE", default=None, help="UTC day. [default: the newest settled one]")
@_common
def verdict(
    *, folder: Path | None, as_of: str | None, output_format: str, limit: int, workload: str, date_text: str | None
) -> None:
    """Every number of a workload's verdict, recomputable by hand.

    \b
    Example:
      breakeven explain verdict support-chat --date 2026-11-14
    """
    day = None if date_text is None else _one_day(date_text)
    asked = _Asked(folder, as_of, output_format, limit)
    asked.answer(functools.partial(explain_verdict, workload=workload, usage_date=day))


@explain.command()
@click.argument("deployment")
@click.option("--date", "date_text", metavar="DATE", default=None, help="UTC day. [default: the newest settled one]")
@_common
def release(
    *, folder: Path | None, as_of: str | None, output_format: str, limit: int, deployment: str, date_text: str | None
) -> None:
    """How many replicas of a deployment may go, what that saves, and what last week says of it.

    \b
    Example:
      breakeven explain release chat-llama --date 2026-11-14
    """
    day = None if date_text is None else _one_day(date_text)
    asked = _Asked(folder, as_of, output_format, limit)
    asked.answer(functools.partial(explain_release, deployment=deployment, usage_date=day))


@explain.command()
@click.argument("deployment")
@click.option("--date", "date_text", metavar="DATE", default=None, help="UTC day. [default: the newest settled one]")
@_common
def fill(
    *, folder: Path | None, as_of: str | None, output_format: str, limit: int, deployment: str, date_text: str | None
) -> None:
    """What of the traffic on an API would fit on a deployment's idle replicas, hour by hour.

    \b
    Example:
      breakeven explain fill chat-llama --date 2026-11-14
    """
    day = None if date_text is None else _one_day(date_text)
    asked = _Asked(folder, as_of, output_format, limit)
    asked.answer(functools.partial(explain_fill, deployment=deployment, usage_date=day))


@explain.command()
@click.argument("deployment")
@click.option("--date", "date_text", metavar="DATE", default=None, help="UTC day. [default: the newest settled one]")
@_common
def plan(
    *, folder: Path | None, as_of: str | None, output_format: str, limit: int, deployment: str, date_text: str | None
) -> None:
    """How many replicas pay for all workloads of a deployment together, who goes first, and what waiting changes.

    \b
    Example:
      breakeven explain plan chat-llama --date 2026-11-14
    """
    day = None if date_text is None else _one_day(date_text)
    asked = _Asked(folder, as_of, output_format, limit)
    asked.answer(functools.partial(explain_plan, deployment=deployment, usage_date=day))


@explain.command()
@click.argument("deployment")
@click.option("--date", "date_text", metavar="DATE", default=None, help="UTC day. [default: the newest one]")
@_common
def weights(
    *, folder: Path | None, as_of: str | None, output_format: str, limit: int, deployment: str, date_text: str | None
) -> None:
    """What a token of each class weighs in a deployment's joint bill, fitted to its own hours, and what of it each got.

    \b
    Example:
      breakeven explain weights chat-llama --date 2026-11-14
    """
    day = None if date_text is None else _one_day(date_text)
    asked = _Asked(folder, as_of, output_format, limit)
    asked.answer(functools.partial(explain_weights, deployment=deployment, usage_date=day))


@explain.command()
@click.argument("invoice_id")
@_common
def invoice(*, folder: Path | None, as_of: str | None, output_format: str, limit: int, invoice_id: str) -> None:
    """An invoice's lines, the days and states their money went to, and what does not add up.

    \b
    Example:
      breakeven explain invoice DGC-2026-10-0042
    """
    asked = _Asked(folder, as_of, output_format, limit)
    asked.answer(functools.partial(explain_invoice, invoice_id=invoice_id))


@explain.command()
@click.option("--deployment", required=True, help="Deployment as named in breakeven.yaml.")
@click.option("--date", "date_text", required=True, metavar="DATE", help="UTC day.")
@_common
def tokens(
    *, folder: Path | None, as_of: str | None, output_format: str, limit: int, deployment: str, date_text: str
) -> None:
    """What a deployment served on a day, from its engines' counters, with the PromQL to compare.

    \b
    Example:
      breakeven explain tokens --deployment chat-llama --date 2026-11-10
    """
    day = _one_day(date_text)
    asked = _Asked(folder, as_of, output_format, limit)
    asked.answer(functools.partial(explain_tokens, deployment=deployment, usage_date=day))


@explain.command()
@click.argument("receipt_id", metavar="RECEIPT")
@project_option
@_printed
def receipt(*, folder: Path | None, output_format: str, limit: int, receipt_id: str) -> None:
    """A row of a report by its receipt, of the snapshot that the report was of: the same figures again, and their rows.

    A receipt stands beside each row of the report: in the last column of its tables, in the margin of the PDF, on the
    page where one points at a row.

    \b
    Example:
      breakeven explain receipt 0123456789abcdef-2026-10-0123456789
    """
    from pipeline.reports.monthly import owned_by, page_of
    from pipeline.reports.receipts import explained_receipt, parsed, receipted

    named = parsed(receipt_id)
    asked = _Asked(folder, named.snapshot_id, output_format, limit)
    owned = owned_by(asked.project, asked.snapshot, named)
    page = page_of(asked.project, asked.snapshot, first_day=named.first_day, owned=owned)
    asked.answer(functools.partial(explained_receipt, page=page, found=receipted(page, receipt_id)))
