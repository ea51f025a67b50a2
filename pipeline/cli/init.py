"""`init`: find what is there, look at it once, and write a first breakeven.yaml."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pipeline.cli.options import console, moment
from pipeline.config.file import parse_config
from pipeline.config.schema import SCHEMA_FILE, config_schema
from pipeline.doctor.discover import Found, discover
from pipeline.doctor.examine import secrets_of
from pipeline.doctor.first_look import FirstLook, look_at, put_into, seen_since
from pipeline.doctor.inputs import in_words
from pipeline.doctor.proposal import (
    Entry,
    Proposals,
    company_of,
    entries_of,
    not_read,
    proposals_of,
    with_reached,
    yaml_text,
)
from pipeline.errors import BreakevenError
from pipeline.formats import currency as currencies
from pipeline.formats.masking import masked
from pipeline.formats.writing import one_line, printable
from pipeline.landing.project import CONFIG_FILE
from pipeline.reports.figures import counted
from pipeline.sources import GPU_BILLS, SOURCES
from pipeline.sources.ingest import check_sources

_CURRENCY = "USD"
_MOST_NAMED = 6


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.option(
    "--prometheus", envvar="PROMETHEUS_URL", show_envvar=True, metavar="URL",
    help="A Prometheus that scrapes engines or dcgm-exporter.",
)  # fmt: skip
@click.option(
    "--gpu-hour", "rate", metavar="AMOUNT", help="What a GPU-hour costs you, for GPUs that were seen and have no bill."
)
@click.option("--currency", default=_CURRENCY, show_default=True, help="Of --gpu-hour, and of the figures.")
@click.option(
    "--base-url", "base_urls", multiple=True, metavar="PROVIDER=URL",
    help="Where an Admin API is asked instead: anthropic=https://... It is sent the Admin key.",
)  # fmt: skip
@click.option(
    "--kube-sign-in", "may_sign_in", is_flag=True,
    help="Run the program by which the Kubernetes context signs in, as kubectl does.",
)  # fmt: skip
@click.option("--offline", is_flag=True, help="Ask nothing of the network: look at files and this host only.")
@click.option("--print", "is_printed", is_flag=True, help="Print the file, and write nothing.")
@click.option("--as-of", "as_of", default=None, metavar="MOMENT", help="Pretend that now is this moment (UTC).")
def init(
    *,
    folder: Path,
    prometheus: str | None,
    rate: str | None,
    currency: str,
    base_urls: tuple[str, ...],
    may_sign_in: bool,
    offline: bool,
    is_printed: bool,
    as_of: str | None,
) -> None:
    """Find what is there and write a first breakeven.yaml. Never overwrites one.

    Finds Admin keys by the names of their variables (no value is shown), the AWS account and its Data Exports, nodes
    and pods with GPUs of the Kubernetes context, a Prometheus, exports below FOLDER by their content, GPUs of this
    host. Reads what these give once, and proposes workloads, deployments and owners as comments, dearest first.

    \b
    Examples:
      breakeven init
      breakeven init /srv/breakeven --prometheus http://prometheus:9090
      breakeven init --offline --gpu-hour 2.69
      breakeven init --kube-sign-in
      breakeven init --print
    """
    file = folder / CONFIG_FILE
    if file.exists() and not is_printed:
        raise BreakevenError(
            f"{file} is there already, and is not overwritten. `breakeven doctor` says which line is worth most next; "
            "`breakeven init --print` prints what would be written."
        )
    now = moment(as_of, now=datetime.now(UTC))
    if prometheus is not None:
        _refuse_secrets(prometheus, option="--prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    urls = dict(_base_url(text) for text in base_urls)
    found = discover(
        folder, environment=os.environ, prometheus=prometheus, now=now, seconds=None if offline else 20.0,
        may_sign_in=may_sign_in,
    )  # fmt: skip
    entries = entries_of(found, folder=folder, horizon=_horizon(now), base_urls=urls)
    silent = {"prometheus"} if found.prometheus_problem is not None else set()
    asked = [
        entry
        for entry in entries
        if entry.said["source"] not in silent and not (offline and {"key_env", "base_url"} & entry.said.keys())
    ]
    amount = _amount(rate)
    with console().status("Reading what was found, once ..."):
        look, proposals = _looked_at(folder, asked, now=now, rate=amount, currency=currency)
    proposals = with_reached(proposals, found)
    text = yaml_text(company_of(folder), entries, proposals, today=now.date())
    if currency != _CURRENCY:
        text = text.replace("\n\nsources:", f"\nreporting_currency: {currency}\n\nsources:", 1)
    check_sources(parse_config(text))
    if is_printed:
        click.echo(text, nl=False)
        return
    _print_found(found, look, folder, currency=currency, offline=offline)
    _write(folder, text, entries)
    console().print(f"\nWritten: {file}, {counted(text.count(chr(10)), 'line')}. Then: breakeven run", markup=False)
    if look is not None and look.following is not None:
        console().print(printable(in_words(look.following)), style="bold", markup=False)


def _looked_at(
    folder: Path, asked: Sequence[Entry], *, now: datetime, rate: Decimal | None, currency: str
) -> tuple[FirstLook | None, Proposals]:
    """What a first look shows, and what it leads to; with a rate, looked at again with it."""
    if not asked:
        return None, Proposals()
    reporting = "" if currency == _CURRENCY else f"reporting_currency: {currency}\n"
    look = look_at(folder, asked, now=now, environment=os.environ, more=reporting)
    look = seen_since(look, asked, now=now, environment=os.environ, since=_horizon(now))
    issuer = next((one.said["account"] for one in asked if one.said["source"] in GPU_BILLS), "gpu-cloud")
    proposals = proposals_of(
        look.api, look.hosts, currency=currency, rate_per_gpu_hour=rate, rate_currency=currency, issuer=issuer
    )
    if rate is not None and proposals.gpu_resources:
        text = yaml_text("x", [], Proposals(gpu_resources=proposals.gpu_resources), today=now.date())
        again = look_at(
            folder, asked, now=now, environment=os.environ,
            more=f"{reporting}gpu_resources:{text.partition('gpu_resources:')[2]}",
        )  # fmt: skip
        dearest = proposals_of(
            again.api, again.hosts, currency=currency, rate_per_gpu_hour=rate, rate_currency=currency, issuer=issuer
        )
        return again, replace(proposals, workloads=dearest.workloads, deployments=dearest.deployments)
    return look, proposals


def _horizon(now: datetime) -> date:
    """The first day of the month before this one."""
    return (now.date().replace(day=1) - timedelta(days=1)).replace(day=1)


def _amount(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise click.BadParameter(f"{text!r} is not an amount, like 2.69.", param_hint="--gpu-hour")
    return amount


def _base_url(text: str) -> tuple[str, str]:
    provider, _, url = text.partition("=")
    if provider not in ("anthropic", "openai") or not url.startswith(("https://", "http://")):
        said = masked(text, ())
        raise click.BadParameter(f"{said!r} is not like anthropic=https://proxy.example.", param_hint="--base-url")
    _refuse_secrets(url, option="--base-url")
    return provider, url


def _refuse_secrets(url: str, *, option: str) -> None:
    """breakeven.yaml is read by many and kept as it was: what opens a door is not written into it."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise click.BadParameter(f"It is no address: {error}.", param_hint=option) from None
    if "@" in parts.netloc or parts.query:
        raise click.BadParameter(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} is given with a user, a password or a query, which "
            f"would be written into {CONFIG_FILE}. Give the address alone; there key_env names a token's variable.",
            param_hint=option,
        )


def _print_found(found: Found, look: FirstLook | None, folder: Path, *, currency: str, offline: bool) -> None:
    out = console()
    secrets = secrets_of(parse_config("company: x\n"), os.environ)
    out.print("[bold]Found[/bold]")
    lines = list(_found_lines(found, folder, offline=offline))
    for line in lines or ["nothing: no Admin key, no export below this folder, no Prometheus, no GPU here"]:
        out.print(printable(f"  {one_line(masked(line, secrets))}"), markup=False)
    if look is None:
        return
    read = list(_read_lines(look, currency))
    if read:
        out.print("[bold]Readable, of the last 30 days[/bold]")
    for line in read:
        out.print(printable(f"  {one_line(masked(line, secrets))}"), markup=False)
    for problem in look.problems[:_MOST_NAMED]:
        out.print(printable(f"  not read: {one_line(masked(problem, secrets))}"), style="red", markup=False)


def _found_lines(found: Found, folder: Path, *, offline: bool) -> Iterator[str]:
    for key in found.keys:
        yield f"{key.variable} is set: Admin API of {key.provider}, account {key.account}" + (
            " (not asked: --offline)" if offline else ""
        )
    for name in found.inference_keys:
        yield f"{name} is set: it may ask models, not costs. An Admin key (…_ADMIN_KEY) reads what was billed"
    if found.aws:
        yield f"AWS: {', '.join(found.aws[:_MOST_NAMED])}. A CUR 2.0 export on S3 is read with source aws_cur2"
        yield from _aws_lines(found)
    if found.kube_context is not None:
        yield f"Kubernetes: context {found.kube_context}" + (
            f": {found.kube_problem}" if found.kube_problem is not None else ""
        )
        yield from _cluster_lines(found)
    if found.prometheus is not None:
        clusters = f"clusters {_named(found.clusters)}; " if found.clusters else ""
        said = found.prometheus_problem or (
            f"serves {_named(found.served_names)}; {clusters}nodes {_named(found.nodes)}"
            if not offline
            else "not asked: --offline"
        )
        yield f"Prometheus at {found.prometheus}: {said}"
    if found.gpus:
        kinds = ", ".join(f"{found.gpus.count(name)} x {name}" for name in dict.fromkeys(found.gpus))
        yield f"GPUs of this host: {kinds}"
    if found.has_slack_token:
        yield "SLACK_BOT_TOKEN is set"
    for place, source in found.exports:
        yield f"{place.relative_to(folder)}/: {source}, an AWS Data Export"
    lacking = not_read(found)
    for group in found.files:
        where = group.folder.relative_to(folder).as_posix()
        files = group.files[0].name if len(group.files) == 1 else counted(len(group.files), "file")
        said = group.reason
        if group.source == "invoice_csv":
            said = "columns guessed: compare the sum with the invoice"
        if not set(group.files) <= lacking.keys():
            yield f"{'' if where == '.' else where + '/'}{files}: {group.source}, {said}"
    for path, said in lacking.items():
        yield f"{path.relative_to(folder)}: {said}"
    for path, reason in found.others[:_MOST_NAMED]:
        yield f"{path.relative_to(folder)}: not used, {reason}"
    if len(found.others) > _MOST_NAMED:
        yield f"{len(found.others) - _MOST_NAMED} more files that are no exports"


def _aws_lines(found: Found) -> Iterator[str]:
    if found.aws_problem is not None:
        yield f"  not asked which account: {found.aws_problem}"
    if found.aws_account is None:
        return
    account = found.aws_account
    if account.exports_problem is not None:
        yield f"  account {account.account_id}; its Data Exports could not be listed: {account.exports_problem}"
        return
    exports = [f"{one.name} at {one.where} ({one.source or 'not read'})" for one in account.exports]
    yield f"  account {account.account_id}; Data Exports: {_named(exports)}"


def _cluster_lines(found: Found) -> Iterator[str]:
    if found.cluster is None:
        return
    nodes = [f"{node.name} ({node.gpu_count} x {node.product or 'GPU'})" for node in found.cluster.nodes]
    yield f"  {counted(sum(node.gpu_count for node in found.cluster.nodes), 'GPU')} on nodes {_named(nodes)}"
    pods = [
        f"{one.namespace}/{one.owner} ({one.pod_count} x {counted(one.gpus_per_pod, 'GPU')}"
        + (f", serves {', '.join(one.served_names)})" if one.served_names else ")")
        for one in found.cluster.workloads
    ]
    yield f"  GPUs are asked for by {_named(pods)}"


def _read_lines(look: FirstLook, currency: str) -> Iterator[str]:
    for (provider, account), rows in _by(look.api, "provider", "account").items():
        cost = sum((row["billed_cost_rc"] or Decimal(0) for row in rows), start=Decimal(0))
        divisions = sorted({row["sub_account_id"] for row in rows} - {None})
        models = sorted({row["model"] for row in rows} - {None})
        word = "projects" if provider == "openai" else "workspaces"
        yield (
            f"{provider}, account {account}: {currencies.money(cost, currency)}; {word} {_named(divisions)}; models "
            f"{_named(models)}"
        )
    for (issuer,), rows in _by(look.resources, "issuer").items():
        yield f"{issuer}: billed GPU resources {_named(sorted({row['resource_id'] for row in rows} - {None}))}"
    for row in look.hosts:
        yield f"host {row['host']}: {counted(row['gpu_count'], 'GPU')}, serves {row['served_names'] or 'nothing seen'}"
    for (gateway,), rows in _by(look.estimates, "estimating_account").items():
        yield f"gateway {gateway}: models {_named(sorted({row['model'] for row in rows} - {None}))}"


def _by(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[tuple[str, ...], list[Mapping[str, Any]]]:
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more if names else "none"


def _write(folder: Path, text: str, entries: Sequence[Entry]) -> None:
    """The file, where nobody has written one meanwhile; the schema beside it; inboxes with what belongs there."""
    try:
        with (folder / CONFIG_FILE).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BreakevenError(f"{folder / CONFIG_FILE} has just been written by another. Nothing was changed.") from None
    schema = folder / SCHEMA_FILE
    if not schema.exists():
        schema.write_text(json.dumps(config_schema(source.name for source in SOURCES)) + "\n", encoding="utf-8")
    for entry in entries:
        if "inbox" in entry.said:
            (folder / entry.said["inbox"]).mkdir(parents=True, exist_ok=True)
            put_into(folder / entry.said["inbox"], entry.files, folder)
