"""`agent`: what runs on a GPU host. A base install is enough, so nothing heavy is imported here."""

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import click

from pipeline.cli.groups import WholeSentences
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable

_CALLS = {
    "nvmlDeviceGetUtilizationRates": "utilization",
    "nvmlDeviceGetSamples": "utilization over the whole interval",
    "nvmlGpmSampleGet": "SM, tensor core and memory activity",
    "nvmlDeviceGetMemoryInfo": "memory",
    "nvmlDeviceGetTotalEnergyConsumption": "energy",
    "nvmlDeviceGetPowerUsage": "power",
    "nvmlDeviceGetComputeRunningProcesses_v3": "processes",
    "nvmlDeviceGetCurrentClocksEventReasons": "clock reasons",
}
_INSTEAD = {"nvmlDeviceGetComputeRunningProcesses_v3": "nvmlDeviceGetComputeRunningProcesses_v2"}
_INSTEAD["nvmlDeviceGetCurrentClocksEventReasons"] = "nvmlDeviceGetCurrentClocksThrottleReasons"
_LONGEST_WAIT_SECONDS = 1.0

_spool = click.option(
    "--spool", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the agent's own."
)
_host = click.option("--host", envvar="BREAKEVEN_HOST", default=None, metavar="NAME", help="[default: the host's name]")


@click.group(cls=WholeSentences)
def agent() -> None:
    """On a GPU host: sample its GPUs, scrape its engines, ship what was recorded.

    \b
    Examples:
      breakeven agent check
      breakeven agent run --spool /var/lib/breakeven/spool --engine http://127.0.0.1:8000 --to s3://telemetry/spool
    """


@agent.command()
@_spool
@click.option("--engine", "engines", multiple=True, metavar="[REPLICA=]URL", help="An engine whose /metrics to keep.")
@click.option("--to", default=None, metavar="PLACE", help="Folder or s3://bucket/prefix that closed files go to.")
@_host
@click.option(
    "--resource-id",
    envvar="BREAKEVEN_RESOURCE_ID",
    default=None,
    metavar="ID",
    help="What the provider's invoice calls this machine.  [default: as the provider tells the machine itself]",
)
@click.option(
    "--ask-provider/--no-ask-provider",
    envvar="BREAKEVEN_ASK_PROVIDER",
    default=True,
    help="Ask the metadata address of AWS, GCP or Azure for it, where the firmware is theirs.",
)
@click.option(
    "--gpus",
    "held",
    multiple=True,
    metavar="REPLICA=GPU,...",
    help="GPUs of an engine, by UUID or index, where neither kubelet nor processes tell them.",
)
@click.option("--every", "cadence", type=click.FloatRange(0.02, 60), default=5, show_default=True, metavar="S")
@click.option("--scrape-every", "scraping", type=click.FloatRange(0.1, 300), default=15, show_default=True, metavar="S")
@click.option(
    "--patience",
    type=click.FloatRange(1, 600),
    default=30,
    show_default=True,
    metavar="S",
    help="A driver that does not answer for so long hangs: its process is replaced.",
)
@click.option(
    "--close-after",
    type=click.FloatRange(0.05, 1440),
    default=15,
    show_default=True,
    metavar="MIN",
    help="A file is closed, and can be shipped, after so many minutes.",
)
@click.option(
    "--metrics",
    type=click.IntRange(1, 65535),
    default=None,
    metavar="PORT",
    help="Say how the agent is at http://127.0.0.1:PORT/metrics.  [default: no port is opened]",
)
@click.option("--most-disk", type=click.IntRange(32, 1_000_000), default=1024, show_default=True, metavar="MIB")
def run(
    spool: Path,
    engines: tuple[str, ...],
    to: str | None,
    host: str | None,
    resource_id: str | None,
    ask_provider: bool,
    held: tuple[str, ...],
    cadence: float,
    scraping: float,
    patience: float,
    close_after: float,
    metrics: int | None,
    most_disk: int,
) -> None:
    """Sample and scrape until SIGTERM. A base install is enough, but for --to s3://..., which needs boto3.

    A killed agent loses nothing, a power cut at most ten seconds. What could not be recorded is: hung or lost drivers,
    pauses, records given up for want of disk. Files beyond --most-disk are removed, the oldest first, and counted.

    \b
    Examples:
      breakeven agent run --spool /var/lib/breakeven/spool
      breakeven agent run --spool spool --engine chat-0=http://127.0.0.1:8000 --to s3://telemetry/spool
    """
    from pipeline.telemetry import agent as running
    from pipeline.telemetry.spool import Limits

    name = host or running.this_host()
    replicas = _replicas(engines, host=name)
    if to is not None:
        from pipeline.telemetry.ship import refuse_bad_place

        refuse_bad_place(to)
    settings = running.Settings(
        spool=str(spool),
        host=name,
        provider_resource_id=resource_id,
        asks_provider=ask_provider,
        gpus=_held(held, replicas=replicas),
        cadence_ms=round(cadence * 1000),
        patience_ms=round(patience * 1000),
        engines=engines,
        scrape_ms=round(scraping * 1000),
        ship_to=to,
        metrics_port=metrics,
        limits=Limits(close_after_ms=round(close_after * 60_000), folder_bytes=most_disk * 1024**2),
    )
    click.echo(f"breakeven agent: {name} to {spool}{'' if to is None else f', shipped to {to}'}", err=True)
    command = running.agent_command(settings)
    os.execv(command[0], command)  # the same process goes on, without what only a command line needs


@agent.command()
@_spool
@click.option("--to", required=True, metavar="PLACE", help="A folder, or s3://bucket/prefix.")
@_host
def ship(spool: Path, to: str, host: str | None) -> None:
    """Ship the closed files of a spool; a file is removed here once it lies there. Call it as often as you like.

    \b
    Examples:
      breakeven agent ship --spool /var/lib/breakeven/spool --to s3://telemetry/spool
      breakeven agent ship --spool spool --to /mnt/shared/spool
    """
    from pipeline.telemetry.agent import this_host
    from pipeline.telemetry.ship import refusal
    from pipeline.telemetry.ship import ship as ship_all

    done = ship_all(spool, to, host=host or this_host())
    click.echo(f"{len(done.put)} files shipped, {len(done.there_already)} were there already")
    refused = refusal(done, to=to)
    if refused is not None:
        raise refused


@agent.command()
def check() -> None:
    """What this host's driver can and cannot tell, a line a GPU. Records nothing.

    \b
    Examples:
      breakeven agent check
    """
    from pipeline.formats.spool import Sample
    from pipeline.telemetry.clock import steady_clock
    from pipeline.telemetry.nvml import load_nvml
    from pipeline.telemetry.sampler import Sampler

    clock = steady_clock()
    sampler = Sampler(load_nvml(), cadence_ms=1000, clock=clock)
    time.sleep(_LONGEST_WAIT_SECONDS)
    readings = [reading.record for reading in sampler.read()]
    health = {record.gpu_uuid: record.health for record in readings if isinstance(record, Sample)}
    found = sampler.capabilities()
    if not found:
        raise BreakevenError("The driver lists no GPU. In a container, give it one: --gpus all, or nvidia.com/gpu: 1.")
    for gpu, refused, is_mig in found:
        click.echo(printable(_line(f"{gpu.gpu_uuid} {gpu.name or '?'}", refused, is_mig, health.get(gpu.gpu_uuid))))
    click.echo(f"driver {found[0][0].driver_version or 'of unknown version'}")


@agent.command()
def engines() -> None:
    """The serving engines whose metrics are read: each name, its type, in which releases, and the source that says so.

    \b
    Examples:
      breakeven agent engines
    """
    from itertools import groupby

    from pipeline.formats.engine_table import ENGINE_METRICS

    for (engine, versions, source), metrics in groupby(
        ENGINE_METRICS, key=lambda metric: (metric.engine, metric.versions, metric.source)
    ):
        click.echo(f"{engine}: {versions}\n  {source}")
        for metric in metrics:
            click.echo(f"  {metric.figure:24} {metric.sample_name} ({metric.kind})")


def _line(gpu: str, refused: Mapping[str, str], is_mig: bool, health: str | None) -> str:
    if health not in (None, "ok"):
        return f"{gpu}: {health}: recorded as unhealthy, and nothing else can be read"
    lacking = [
        f"{said} ({refused[call]})"
        for call, said in _CALLS.items()
        if call in refused and (call not in _INSTEAD or _INSTEAD[call] in refused)
    ]
    lacks = f"; not {', '.join(lacking)}" if lacking else ""
    if is_mig:
        return (
            f"{gpu}: MIG is on: memory, energy, power, processes by slice; activity where GPM tells that of every "
            f"slice, else unknown and never called idle{lacks}"
        )
    told = [said for call, said in _CALLS.items() if call not in refused or _INSTEAD.get(call, call) not in refused]
    return f"{gpu}: {', '.join(told)}{lacks}"


def _held(texts: tuple[str, ...], *, replicas: Collection[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        replica, _, gpus = text.partition("=")
        named = tuple(gpu.strip() for gpu in gpus.split(",") if gpu.strip())
        if not replica.strip() or not named or replica.strip() in found:
            raise click.BadParameter(
                f"{text!r}: name each replica once, with its GPUs: chat-0=0,1 or chat-0=GPU-....", param_hint="--gpus"
            )
        if replica.strip() not in replicas:
            scraped = ", ".join(replicas) or "none"
            raise click.BadParameter(
                f"{replica.strip()} is no replica that is scraped ({scraped}): name it as --engine does, "
                f"--engine {replica.strip()}=http://....",
                param_hint="--gpus",
            )
        found[replica.strip()] = named
    return found


def _replicas(engines: tuple[str, ...], *, host: str) -> Collection[str]:
    """Who is scraped. BadParameter where an engine is no address, or is there twice."""
    if not engines:
        return ()
    from pipeline.telemetry.targets import parse_target

    named: dict[str, str] = {}
    for text in engines:
        try:
            target = parse_target(text, host=host)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--engine") from None
        if named.setdefault(target.replica_id, target.url) != target.url or list(engines).count(text) > 1:
            raise click.BadParameter(
                f"{target.replica_id} is there twice: name each replica once, as REPLICA=URL.", param_hint="--engine"
            )
    return named
