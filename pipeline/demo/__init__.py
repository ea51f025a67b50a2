"""A made-up company's exports in the vendors' own formats, with everything that is true of them known.

Shares no code with the sources that read these formats, so that a mistake there is not repeated here.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

from pipeline.demo import (
    api_bills,
    cloud_bills,
    company,
    euro_bills,
    expected,
    fleet,
    gpu_bills,
    openai_bills,
    openai_traffic,
    settings,
    traffic,
)
from pipeline.demo.company import AS_OF
from pipeline.demo.truth import (
    UNASSIGNED,
    BilledDay,
    ControlDay,
    ControlDifference,
    ExpectedVerdict,
    Fault,
    GpuDay,
    GpuTime,
    InvoiceLine,
    InvoiceTotal,
    PublishedRate,
    TokenTotal,
    Truth,
    as_json,
)
from pipeline.errors import ConfigError

__all__ = [
    "AS_OF",
    "BilledDay",
    "ControlDay",
    "ControlDifference",
    "ExpectedVerdict",
    "Fault",
    "GpuDay",
    "GpuTime",
    "InvoiceLine",
    "InvoiceTotal",
    "PublishedRate",
    "TokenTotal",
    "Truth",
    "generate",
]


def generate(folder: Path) -> Truth:
    """Write the demo company into `folder` (made if absent) and return what is true of it.

    The same bytes every time. Writes `breakeven.yaml`, `README.txt`, `inbox/<source>/<account>/...`, the
    export of `exports/<account>/` (with the times that AWS would have given its files) and `truth.json`.
    Raises ConfigError when the folder holds a `breakeven.yaml` that the demo did not write.
    """
    _refuse_a_real_project(folder)
    writer = _Writer(folder)
    writer.text("breakeven.yaml", settings.breakeven_yaml())
    writer.text("README.txt", settings.readme_text())

    usage = traffic.api_usage()
    cells = api_bills.cost_cells(usage)
    first_cells = api_bills.understated(cells)
    console, console_days = api_bills.console_csv()
    invoice, invoice_truth = gpu_bills.october_invoice()
    _write_api_pulls(writer, usage=usage, cells=cells, first_cells=first_cells)
    openai_usage = openai_traffic.usage()
    openai_bill = openai_bills.lines(openai_usage)
    for export in openai_bills.exports(openai_usage, openai_bill):
        writer.drop(export.source, openai_traffic.ACCOUNT, export.name, export.content)
    writer.drop("anthropic_console_csv", company.LABS_ACCOUNT, api_bills.CONSOLE_NAME, console)
    writer.drop("invoice_csv", company.GPU_CLOUD, gpu_bills.INVOICE_NAME, invoice)
    cloud = cloud_bills.bill()
    _write_cloud_bill(writer, cloud)
    euro_invoice, euro_invoice_truth = euro_bills.october_invoice()
    writer.drop("invoice_csv", company.NORD, euro_bills.INVOICE_NAME, euro_invoice)
    rates = euro_bills.published_rates()
    writer.drop("ecb_rates", euro_bills.ECB, euro_bills.RATES_NAME, euro_bills.rates_csv(rates))
    fleet_truth = fleet.FleetTruth()
    for file in fleet.spool_files(fleet_truth):
        writer.drop("nvml_spool", company.FLEET, file.name, file.content)

    tokens = (*_api_totals(usage), *openai_bills.token_totals(openai_usage), *fleet_truth.token_totals())
    truth = Truth(
        first_day=company.FIRST_DAY,
        last_day=company.LAST_DAY,
        as_of=AS_OF,
        tokens=tokens,
        billed_days=(
            *api_bills.billed_days(cells),
            *openai_bills.billed_days(openai_bill),
            *console_days,
            *gpu_bills.owned_days(),
            *cloud.billed_days,
        ),
        superseded_days=(
            *(day for day in api_bills.billed_days(first_cells) if day.usage_date == company.RESTATED_DAY),
            *openai_bills.superseded_days(openai_bill),
            *cloud.superseded_days,
        ),
        control_days=tuple(openai_bills.control_days(openai_bill)),
        invoices=(invoice_truth, euro_invoice_truth, cloud.invoice),
        contract_rate_per_gpu_hour=f"{company.GPU_HOUR_RATE_CENTS // 100}.{company.GPU_HOUR_RATE_CENTS % 100:02d}",
        contract_euros_per_gpu_hour=f"0.{euro_bills.HOUR_RATE_CENTS:02d}",
        gpu_days=cloud.gpu_days,
        control_differences=cloud.control_differences,
        rates=rates,
        gpu_time=fleet_truth.gpu_time(),
        faults=_faults(),
        verdicts=expected.expected_verdicts(tokens),
        files=(*writer.written, "truth.json"),
    )
    writer.text("truth.json", as_json(truth))
    return truth


class _Writer:
    """Writes below one folder and remembers what it wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.written: list[str] = []

    def text(self, name: str, text: str) -> None:
        self._write(name, text.encode())

    def drop(self, source: str, account: str, name: str, content: bytes) -> None:
        self._write(f"inbox/{source}/{account}/{name}", content)

    def export(self, folder: str, file: cloud_bills.ExportFile) -> None:
        """A file of a synced export keeps its time, which says what restates what."""
        self._write(f"{folder}/{file.name}", file.content)
        os.utime(self._folder / folder / file.name, (file.at.timestamp(), file.at.timestamp()))

    def _write(self, name: str, content: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.written.append(name)


def _refuse_a_real_project(folder: Path) -> None:
    config = folder / "breakeven.yaml"
    if config.exists() and not config.read_text(encoding="utf-8").startswith(settings.GENERATED_MARK):
        raise ConfigError(
            key="(file)",
            value=config.name,
            fix=f"{folder} holds a project that the demo did not write. Give the demo a folder of its own.",
        )


def _write_api_pulls(
    writer: _Writer,
    *,
    usage: Sequence[traffic.UsageRow],
    cells: Sequence[api_bills.CostCell],
    first_cells: Sequence[api_bills.CostCell],
) -> None:
    for window, seen in ((api_bills.FIRST_PULL, first_cells), (api_bills.LAST_PULL, cells)):
        pages = api_bills.cost_pages(seen, window=window)
        writer.drop("anthropic_cost_api", company.API_ACCOUNT, f"cost_report_{window.stamp}.json", pages)
        pages = api_bills.usage_pages(usage, window=window)
        writer.drop("anthropic_usage_api", company.API_ACCOUNT, f"messages_usage_{window.stamp}.json", pages)


def _write_cloud_bill(writer: _Writer, cloud: cloud_bills.Bill) -> None:
    for file in cloud.export:
        writer.export(cloud_bills.EXPORT_FOLDER, file)
    for name, content in cloud.focus:
        writer.drop("focus", company.AWS, name, content)


def _api_totals(usage: Sequence[traffic.UsageRow]) -> tuple[TokenTotal, ...]:
    sums: dict[tuple[date, str, str, str, str], int] = defaultdict(int)
    for row in usage:
        for token_class, tokens in row.tokens.items():
            sums[row.usage_date, row.workload or UNASSIGNED, row.model, token_class, row.service_tier] += tokens
    return tuple(
        TokenTotal(
            usage_date=day,
            lane="api",
            account=company.API_ACCOUNT,
            deployment=None,
            workload=workload,
            model=model,
            token_class=token_class,
            service_tier=tier,
            tokens=tokens,
        )
        for (day, workload, model, token_class, tier), tokens in sorted(sums.items())
        if tokens
    )


_FAULT_EXPECTATIONS = {
    "engine_restarted": "counters start at zero in a new process; starting until ready; no token lost",
    "replica_stopped": "one GPU held by a notebook (held_other), one unallocated; a new process at the end",
    "gpu_is_lost": "unhealthy, then starting for ten minutes",
}


def _faults() -> tuple[Fault, ...]:
    """What was planted, in time order."""
    faults = [
        Fault(
            kind=outage.reason,
            where=outage.replica_id,
            from_at=outage.from_at,
            to_at=outage.ready_at,
            expect=_FAULT_EXPECTATIONS[outage.reason],
        )
        for outage in company.OUTAGES
    ]
    faults.append(
        Fault(
            kind="agent_gap",
            where=company.GAP_HOST,
            from_at=company.GAP_FROM_AT,
            to_at=company.GAP_TO_AT,
            expect="12 GPU-hours unobserved, never idle; the tokens of the gap count on that day",
        )
    )
    faults.append(
        Fault(
            kind="spot_interrupted",
            where=company.SPOT_1.name,
            from_at=company.SPOT_INTERRUPTED_AT,
            to_at=company.SPOT_RESUMED_AT,
            expect="billed and seen up to then; the hour after it is nobody's, and another instance goes on",
        )
    )
    faults.append(
        _day_fault(
            "duplicate_upload",
            company.DUPLICATE_HOST,
            company.DUPLICATE_DAY,
            "the same bytes under two names; counted once",
        )
    )
    faults.append(
        _day_fault(
            "torn_last_line",
            company.TORN_HOST,
            company.TORN_DAY,
            "one sample dropped and reported; one GPU unobserved for one minute",
        )
    )
    faults.append(
        _day_fault(
            "agent_upgraded",
            company.AGENT_UPGRADE_HOST,
            company.AGENT_UPGRADE_DAY,
            "a new agent_start_id with sequence numbers from 0; engine counters go on",
        )
    )
    faults.append(
        _day_fault(
            "cost_restated",
            company.API_ACCOUNT,
            company.RESTATED_DAY,
            "the later pull counts; the earlier one had 70% of the money",
        )
    )
    faults.extend(_cloud_faults())
    faults.extend(openai_bills.faults())
    return tuple(sorted(faults, key=lambda fault: (fault.from_at, fault.kind)))


def _cloud_faults() -> list[Fault]:
    october, november = (
        datetime.combine(day, time.min, tzinfo=UTC) for day in (cloud_bills.OCTOBER, cloud_bills.NOVEMBER)
    )
    return [
        Fault(
            kind="stale_chunk",
            where=company.AWS,
            from_at=october,
            to_at=november,
            expect="a chunk of an earlier refresh that no manifest lists: not counted",
        ),
        Fault(
            kind="period_restated",
            where=company.AWS,
            from_at=november,
            to_at=cloud_bills.FIRST_REFRESH_AT,
            expect="November of the newest manifest counts; the refresh before it lies in a folder of its own",
        ),
        _day_fault(
            "late_line",
            company.AWS,
            traffic.previous_day(cloud_bills.NOVEMBER),
            "in the CUR and not in the FOCUS export: the control differs, the book of record counts",
        ),
    ]


def _day_fault(kind: str, where: str, day: date, expect: str) -> Fault:
    midnight = datetime.combine(day, time.min, tzinfo=UTC)
    end = datetime.combine(traffic.next_day(day), time.min, tzinfo=UTC)
    return Fault(kind=kind, where=where, from_at=midnight, to_at=end, expect=expect)
