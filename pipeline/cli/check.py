"""`check`: own numbers in five minutes, from one address or the files at hand, without a project."""

import csv
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import format_option
from pipeline.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from pipeline.check.watching import Clock, Watched

_SECONDS = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?", re.ASCII)
_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
# Of one scrape: with the default window, the whole check ends within 30 s.
_TIMEOUT_SECONDS = 5.0
_LONGEST_PAST_SECONDS = 31 * 86_400.0


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """`20s`, `500ms`, `2m`, or a bare number of seconds."""
    if value is None:
        return None
    found = _SECONDS.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value!r} is no length of time like 20s, 500ms or 2m.")
    return float(found[1]) * _PER_UNIT[found[2]]


def _price(ctx: click.Context, param: click.Parameter, value: str | None) -> Decimal | None:
    """An amount above zero, exact."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,12})?", value.strip(), re.ASCII) is None or not Decimal(value):
        raise click.BadParameter(f"{value!r} is no price above 0, as 2.69. A price you do not know is left out.")
    return Decimal(value)


def _currency(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if re.fullmatch(r"[A-Za-z]{3}", value, re.ASCII) is None:
        raise click.BadParameter(f"{value!r} is no code of three letters, as USD or EUR.")
    return value.upper()


@click.command()
@click.option(
    "--engine", "--vllm", "url", metavar="URL",
    help="A vLLM, SGLang, TGI, TensorRT-LLM or llama.cpp server: http://host:8000 (its /metrics is read).",
)  # fmt: skip
@click.option(
    "--scrapes", nargs=2, type=click.Path(path_type=Path), metavar="FIRST SECOND",
    help="Two saved answers of its /metrics, the earlier one first.",
)  # fmt: skip
@click.option(
    "--bill",
    "is_bill",
    is_flag=True,
    help="The FILEs are exports of an API, a cloud or a GPU provider: say what they say.",
)
@click.option(
    "--prometheus", "server", metavar="URL", help="A Prometheus that scrapes engines: all of them, by raw samples."
)
@click.option("--token-env", metavar="NAME", help="With --prometheus: the variable that holds its bearer token.")
@click.option("--tenant", metavar="NAME", help="With --prometheus: the tenant (X-Scope-OrgID).")
@click.option("--match", default="", metavar="LABELS", help="With --prometheus: only these, as 'namespace=\"chat\"'.")
@click.option("--gpu-hour", "gpu_hour", callback=_price, metavar="RATE", help="What one GPU costs an hour, as 2.69.")
@click.option(
    "--gpus",
    type=click.IntRange(1, 100_000),
    metavar="N",
    help="GPUs of each address (with --bill: of a replica). [default: one a rank]",
)
@click.option("--currency", default="USD", show_default=True, callback=_currency, help="Of --gpu-hour.")
@click.option(
    "--window", callback=_duration, default=None, metavar="20s",
    help="How long to watch; 0 reads once. [default: 20s; of a Prometheus the last 1h]",
)  # fmt: skip
@click.option(
    "--seconds", callback=_duration, default=None, metavar="60s", help="With --scrapes: the time between the two."
)
@click.option(
    "--api", "apis", multiple=True, metavar="MODEL",
    help="API models to compare with, as gpt-5-mini or anthropic/claude-haiku-4-5 (these two are the default).",
)  # fmt: skip
@format_option
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE...]")
def check(
    url: str | None,
    scrapes: tuple[Path, Path] | None,
    is_bill: bool,
    server: str | None,
    token_env: str | None,
    tenant: str | None,
    match: str,
    gpu_hour: Decimal | None,
    gpus: int | None,
    currency: str,
    window: float | None,
    seconds: float | None,
    apis: tuple[str, ...],
    output_format: str,
    files: tuple[Path, ...],
) -> None:
    """Your own cost per million tokens in five minutes: no project, no configuration, nothing is kept or sent.

    \b
    Of an engine: watch its counters for 20 s, or read the last hour of all engines that a Prometheus scrapes: what a
    million tokens cost at your GPU rate (full, active, marginal), what APIs would bill for the same tokens at list
    price, and what is unknown.

    \b
    Of exports (API, cloud, gateway or GPU bills; pages, CSV, Parquet): what each is, its exact totals by model and
    token class, its tokens at list price, and what would have to be true for self-hosting to pay.

    \b
    Exit codes: 0 done · 1 what was given cannot be checked · 2 wrong call · 3 the address did not answer

    \b
    Examples:
      breakeven check --engine http://gpu-1:8000 --gpu-hour 2.69
      breakeven check --engine http://gpu-1:8000 --gpu-hour 2.69 --gpus 2 --api gpt-5.2 --api claude-sonnet-4-5
      breakeven check --prometheus http://prometheus:9090 --gpu-hour 2.69 --gpus 8 --window 6h
      breakeven check --bill costs.json usage.json --gpu-hour 2.69 --gpus 2
      breakeven check --scrapes before.prom after.prom --seconds 60s --gpu-hour 2.69 --format json
    """
    given = {"--engine": url, "--prometheus": server, "--scrapes": scrapes, "--bill": is_bill}
    ways = [name for name, value in given.items() if value]
    if len(ways) != 1:
        said = f"{' and '.join(ways)} were given" if ways else "nothing was named"
        raise click.UsageError(
            "Name one thing to check: --engine URL, --prometheus URL, --scrapes FIRST SECOND or --bill FILE...; "
            f"{said}."
        )
    if files and not is_bill:
        raise click.UsageError(f"{files[0]} is a file: --bill says what an export says, --scrapes reads two scrapes.")
    if is_bill:
        if not files:
            raise click.UsageError("--bill wants the files: breakeven check --bill FILE...")
        if apis:
            raise click.UsageError("--api is for engines: an export is re-rated at its own models' list prices.")
        _check_bills(files, gpu_hour=gpu_hour, gpus=gpus, currency=currency, output_format=output_format)
        return
    if server is None and (token_env or tenant or match):
        raise click.UsageError("--token-env, --tenant and --match are for --prometheus.")
    if scrapes is not None:
        from pipeline.check.watching import saved_pair

        subject, watched = f"{scrapes[0]} and {scrapes[1]}", [saved_pair(*scrapes, seconds=seconds)]
    elif url is not None:
        subject, watched = _of_engine(url, window=20.0 if window is None else window)
    else:
        assert server is not None
        subject, watched = _of_prometheus(
            server, token_env=token_env, tenant=tenant, match=match, window=3600.0 if window is None else window
        )
    _answer(
        watched, subject, gpu_hour=gpu_hour, gpus=gpus, currency=currency, apis=apis, output_format=output_format
    )  # fmt: skip


def _of_engine(url: str, *, window: float) -> "tuple[str, list[Watched]]":
    from pipeline.check.watching import watch
    from pipeline.telemetry.scrape import metrics_url, shown_url

    try:
        address = metrics_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--engine") from None
    subject = shown_url(address)
    if window and sys.stderr.isatty():
        click.echo(f"Watching {subject} for {window:g} s ...", err=True)
    return subject, [watch(address, seconds=window, timeout_seconds=_TIMEOUT_SECONDS, clock=clock())]


def _of_prometheus(
    url: str, *, token_env: str | None, tenant: str | None, match: str, window: float
) -> "tuple[str, list[Watched]]":
    try:
        from pipeline.check.prometheus import watched_by
        from pipeline.sources.prometheus_http import prometheus_at
    except ModuleNotFoundError as error:
        raise MissingExtraError(command="check", module=error.name or "?") from None
    its = clock()
    if not 0 < window <= _LONGEST_PAST_SECONDS:
        raise click.BadParameter(f"{window:g} s is no part of the last 31 days.", param_hint="--window")
    stop = its.now().replace(microsecond=0)
    try:
        # One question that is answered or not: a newcomer waits half a minute, not for a quarter of an hour of retries.
        server = prometheus_at(
            url, whose="prometheus", environment=os.environ, sleep=its.sleep, token_env=token_env, tenant=tenant,
            attempts=2, seconds=20.0,
        )  # fmt: skip
        found = watched_by(server, start=stop - timedelta(seconds=window), stop=stop, match=match)
    except ConfigError as error:
        option = {"url": "--prometheus", "settings.match": "--match"}.get(error.key, f"--{error.key}")
        raise click.BadParameter(f"{error.value!r}: {error.fix}", param_hint=option) from None
    return f"{server.host} (Prometheus)", found


def _answer(
    watched: "list[Watched]",
    subject: str,
    *,
    gpu_hour: Decimal | None,
    gpus: int | None,
    currency: str,
    apis: tuple[str, ...],
    output_format: str,
) -> None:
    try:
        # The price book is the largest part of what is loaded: not before there is something to price.
        from pipeline.check.comparison import DEFAULT_APIS
        from pipeline.check.engine_answer import document, engine_answer, rows
        from pipeline.cli.checked_engine import print_engine
    except ModuleNotFoundError as error:
        raise MissingExtraError(command="check", module=error.name or "?") from None
    answer = engine_answer(
        watched, subject=subject, rate=gpu_hour, currency=currency, gpu_count=gpus, apis=apis or DEFAULT_APIS
    )
    if output_format == "table":
        print_engine(answer)
    elif output_format == "json":
        click.echo(json.dumps(document(answer), indent=2))
    else:
        _print_csv(rows(answer))


def _check_bills(
    files: tuple[Path, ...], *, gpu_hour: Decimal | None, gpus: int | None, currency: str, output_format: str
) -> None:
    try:
        from pipeline.check.bill_answer import bill_answer, document, rows
        from pipeline.check.bills import read_bills
        from pipeline.cli.checked_bills import print_bills
    except ModuleNotFoundError as error:
        raise MissingExtraError(command="check", module=error.name or "?") from None
    bills = read_bills(files, now=clock().now(), currency=currency)
    answer = bill_answer(bills, rate=gpu_hour, currency=currency, gpu_count=gpus)
    if output_format == "table":
        print_bills(answer)
    elif output_format == "json":
        click.echo(json.dumps(document(answer), indent=2))
    else:
        _print_csv(rows(answer))
    if answer.unread:
        raise SystemExit(1)


def clock() -> "Clock":
    """This machine's."""
    from pipeline.check.watching import Clock

    return Clock(now=lambda: datetime.now(UTC), monotonic=time.monotonic, sleep=time.sleep)


def _print_csv(rows: Sequence[dict[str, Any]]) -> None:
    from pipeline.reports.words import inert

    # Of what is yes or no CSV has no word of its own: as JSON spells it.
    spelled = {True: "true", False: "false"}
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: spelled[v] if isinstance(v, bool) else inert(v) for k, v in row.items()})
