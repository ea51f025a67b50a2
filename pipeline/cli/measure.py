"""`measure`: what an endpoint sustains within a service level, with the lengths of a workload's own requests."""

import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.events import who
from pipeline.cli.options import console, open_project, project_option, snapshot_for
from pipeline.config.deployments import Deployment
from pipeline.config.whole import Config
from pipeline.config.workloads import Workload
from pipeline.errors import BreakevenError, ConfigError
from pipeline.formats.writing import printable
from pipeline.reports.words import money

if TYPE_CHECKING:
    from pipeline.economics.plausibility import Hardware
    from pipeline.measure.likeness import BusiestHour
    from pipeline.measure.measuring import Measured, Plan
    from pipeline.measure.search import Bounds, ServiceLevel


def _rate(ctx: click.Context, param: click.Parameter, value: str | None) -> Decimal | None:
    """An amount above zero, exact."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,12})?", value, re.ASCII) is None or not Decimal(value):
        raise click.BadParameter(f"{value!r} is no price above 0, as 2.69. A price you do not know is left out.")
    return Decimal(value)


@dataclass(frozen=True)
class _Subject:
    """What is measured: a workload, and the deployment that is to serve it, or its candidate."""

    workload: Workload
    deployment: Deployment | None

    @property
    def gpus(self) -> int | None:
        if self.deployment is not None:
            return self.deployment.gpus_per_replica
        return None if self.workload.candidate is None else self.workload.candidate.gpus_per_replica

    @property
    def gpu_hour(self) -> tuple[Decimal | None, str]:
        candidate = self.workload.candidate
        return (None, "USD") if candidate is None else (candidate.gpu_hour, candidate.currency)

    @property
    def hardware(self) -> "Hardware | None":
        """What a replica of it is of; None where that is not declared."""
        from pipeline.build.config_tables.deployments import served_row
        from pipeline.decisions.capacities import hardware_of
        from pipeline.decisions.gpu_types import shipped_gpu_types

        served = self.deployment or self.workload.candidate
        return None if served is None else hardware_of(served_row(served), shipped_gpu_types(), gpus=self.gpus)

    @property
    def name(self) -> str:
        from pipeline.build.config_tables.versions import measured_subject

        if self.deployment is not None:
            return measured_subject(deployment=self.deployment.deployment)
        return measured_subject(workload=self.workload.workload)


@click.command()
@project_option
@click.option("--endpoint", required=True, metavar="URL", help="OpenAI-compatible: http://host:8000 or .../v1.")
@click.option("--like", "like", required=True, metavar="WORKLOAD", help="Whose requests are imitated.")
@click.option("--model", default=None, metavar="NAME", help="Served name. [default: the deployment's]")
@click.option(
    "--slo-ttft", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Seconds to the first token."
)
@click.option("--slo-tpot", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Per output token.")
@click.option(
    "--duration", type=click.FloatRange(12, 7200), default=300, show_default=True, metavar="S", help="At most."
)
@click.option("--prompt-tokens", type=click.IntRange(1, 1_000_000), metavar="N", help="Of one request on the mean.")
@click.option(
    "--requests",
    "requests_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Its requests, one a row: a gateway's log or a trace, CSV or JSON lines.",
)
@click.option("--replicas", type=click.IntRange(1, 1024), default=1, show_default=True, help="Behind the endpoint.")
@click.option("--gpu-hour", callback=_rate, metavar="RATE", help="What a GPU costs an hour, for the cost of measuring.")
@click.option("--max-requests", type=click.IntRange(1, 10**6), default=2000, show_default=True, help="At most.")
@click.option("--max-tokens", type=click.IntRange(1, 10**9), default=2_000_000, show_default=True, help="At most.")
@click.option("--key-env", default=None, metavar="NAME", help="Environment variable that holds the endpoint's key.")
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be sent and what it costs; send nothing.")
def measure(
    folder: Path | None,
    endpoint: str,
    like: str,
    model: str | None,
    slo_ttft: float | None,
    slo_tpot: float | None,
    duration: float,
    prompt_tokens: int | None,
    requests_file: Path | None,
    replicas: int,
    gpu_hour: Decimal | None,
    max_requests: int,
    max_tokens: int,
    key_env: str | None,
    is_dry: bool,
) -> None:
    """What one replica sustains within a service level: the capacity that verdicts need, measured.

    Sends generated text as long as the workload's requests are, sharing as much of it as they find cached, at random
    moments, ever more of it until 95% of them no longer hold --slo-ttft or --slo-tpot. Which level that is nobody can
    say but you: at least one is given. How lengths differ is drawn from its engines' own histograms, or from
    --requests; a trial that lasts minutes (a twelfth of --duration) is as uneven as its busiest minutes were. One line
    says what is its own and what assumed. What is found is landed with its date, and counts as the declared capacity of
    the workload's deployment (or candidate) until a later one is declared or measured.

    \b
    Examples:
      breakeven measure --endpoint http://gpu-1:8000 --like support-chat --slo-ttft 2 --dry-run
      breakeven measure --endpoint http://gpu-1:8000 --like support-chat --slo-ttft 2 --slo-tpot 0.05 --gpu-hour 2.69
    """
    from pipeline.measure.endpoint import Endpoint
    from pipeline.measure.measuring import event_body, refuse_impossible
    from pipeline.measure.measuring import measure as run_measurement
    from pipeline.measure.search import Bounds, ServiceLevel

    if slo_ttft is None and slo_tpot is None:
        raise click.UsageError("Give --slo-ttft or --slo-tpot: without a service level a capacity means nothing.")
    project = open_project(folder)
    subject = _subject(project.config, like)
    level = ServiceLevel(first_token_seconds=slo_ttft, seconds_per_output_token=slo_tpot)
    bounds = Bounds(seconds=duration, requests=max_requests, tokens=max_tokens)
    plan, busiest = _plan(folder, subject, level, bounds, prompt_tokens, requests_file, replicas, gpu_hour)
    name = model or _served_name(subject)
    _print_plan(plan, busiest, endpoint, name)
    if is_dry:
        return
    key = None if key_env is None else _key(key_env)
    began = datetime.now(UTC)
    asked, found = run_measurement(
        Endpoint(endpoint, name, key, time.monotonic), plan, clock=time.monotonic, sleep=time.sleep
    )
    ended = datetime.now(UTC)
    refuse_impossible(found, plan, subject.hardware)
    body = event_body(found, plan, endpoint=asked, workload=like, began=began, ended=ended, by=who())
    from pipeline.landing.project import CAPACITY_EVENT

    project.landing.record(kind=CAPACITY_EVENT, subject=subject.name, body=body, now=ended)
    _print_found(found, plan, busiest, subject)


def _subject(config: Config, like: str) -> _Subject:
    workload = next((one for one in config.workloads if one.workload == like), None)
    if workload is None:
        names = ", ".join(one.workload for one in config.workloads) or "none"
        raise ConfigError(key="workloads", value=like, fix=f"No such workload. Declared: {names}.")
    deployment = next((one for one in config.deployments if one.deployment == workload.deployment), None)
    if deployment is None and workload.candidate is None:
        fix = "It has neither a deployment nor a candidate, so nothing would use the capacity. Declare one of them."
        raise ConfigError(key=f"workloads.{like}", value="no deployment", fix=fix)
    return _Subject(workload, deployment)


def _served_name(subject: _Subject) -> str:
    if subject.deployment is None:
        raise click.UsageError("Give --model: the workload has no deployment that names what it serves.")
    return subject.deployment.served_names[0] if subject.deployment.served_names else subject.deployment.model


def _plan(
    folder: Path | None,
    subject: _Subject,
    level: "ServiceLevel",
    bounds: "Bounds",
    prompt_tokens: int | None,
    requests_file: Path | None,
    replicas: int,
    gpu_hour: Decimal | None,
) -> "tuple[Plan, BusiestHour | None]":
    from pipeline.measure.likeness import likeness
    from pipeline.measure.measuring import TRIALS, Plan
    from pipeline.reports.questions import Questions

    project = open_project(folder)
    with Questions(snapshot_for(project, None)) as questions:
        like = likeness(
            questions,
            project,
            workload=subject.workload.workload,
            deployment=None if subject.deployment is None else subject.deployment.deployment,
            prompt_tokens=prompt_tokens,
            requests_file=requests_file,
            trial_seconds=bounds.seconds / TRIALS,
            now=datetime.now(UTC),
            environment=os.environ,
        )
    rate, currency = subject.gpu_hour
    plan = Plan(
        lengths=like.lengths,
        level=level,
        bounds=bounds,
        replicas=replicas,
        gpus=subject.gpus,
        gpu_hour=rate if gpu_hour is None else gpu_hour,
        currency=currency,
        spread=like.spread,
        curve=like.curve,
        likeness=like.words,
    )
    return plan, like.busiest


def _key(key_env: str) -> str:
    key = os.environ.get(key_env, "").strip()
    if not key:
        raise BreakevenError(f"The environment variable {key_env} is empty: put the endpoint's key there.")
    return key


def _print_plan(plan: "Plan", busiest: "BusiestHour | None", endpoint: str, model: str) -> None:
    cost = plan.cost(plan.bounds.seconds)
    lengths, bounds, out = plan.lengths, plan.bounds, console()
    text = (
        f"To {endpoint}, as {model}: requests of {lengths.prompt_tokens:,} prompt tokens on the mean "
        f"({lengths.shared_prompt_tokens:,} of them shared) and {lengths.output_tokens:,} output tokens; at most "
        f"{bounds.requests:,} requests, {bounds.tokens:,} tokens and {bounds.seconds:.0f} s."
    )
    out.print(printable(text), markup=False)
    out.print(printable(plan.likeness), markup=False)
    if busiest is not None:
        out.print(
            f"Its busiest hour of 28 days, {busiest.begins_at:%Y-%m-%d %H:00} UTC, asks for "
            f"{busiest.requests_per_second:.2f} of them a second.",
            markup=False,
        )
    said = "unknown: give --gpu-hour, and gpus_per_replica" if cost is None else f"at most {money(cost, plan.currency)}"
    out.print(f"It costs {said}.", markup=False)


def _print_found(found: "Measured", plan: "Plan", busiest: "BusiestHour | None", subject: _Subject) -> None:
    out, best, broken = console(), found.best, found.found.broken_per_second
    least = "" if broken is not None else "at least "
    out.print(
        f"One replica sustains {least}{found.tokens_per_second:,.0f} tokens/s at this mix "
        f"({best.offered_per_second:.2f} requests a second; "
        + ("no load that was tried broke it)." if broken is None else f"it broke at {broken:.2f})."),
        markup=False,
    )
    if busiest is not None and found.tokens_per_second:
        needed = busiest.tokens_per_second / float(found.tokens_per_second)
        out.print(
            f"Its busiest hour asks for {'at most ' if least else ''}{needed:.2f} of such replicas.", markup=False
        )
    cost = plan.cost(found.seconds)
    spent = "unknown" if cost is None else money(cost, plan.currency)
    out.print(f"Landed of {subject.name}: {found.request_count} requests, cost {spent}.", markup=False)
    out.print("Run `breakeven run` to use it.", markup=False)
