"""How long AWS's cost and usage lines take from landed objects to daily charges, and DuckDB alone on them.

    python -m benchmarks.cur --lines 1000000 20000000 --months 1 12

A line is one resource's hour of one usage type, in chunks of a million, each a random part of its month: AWS promises
no order. Each month is built by itself, as many at a time as there are cores. Both sides read the same Parquet through
the same expressions (doubles to exact decimals) and run the same SQL; ours also checks every file, adds up what it
charges, hashes the result and writes it. Each side is a process of its own, so that its peak memory is its own. All of
it is generated; the company does not exist.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
import tempfile
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from benchmarks.measure import folder_gib, peak_memory_gib, took
from pipeline.build.landed_tables import Landed, read_landed
from pipeline.build.relations import literal
from pipeline.build.runner import Runner
from pipeline.build.sql_models import SqlModel, load_models
from pipeline.errors import BuildError
from pipeline.landing.landing import Landing
from pipeline.landing.store import FolderStore
from pipeline.paths import models_root
from pipeline.sources.aws_cur2 import NAME, SOURCE
from pipeline.sources.source import FetchContext

_LAST_MONTH = date(2026, 10, 1)
AS_OF = datetime(2026, 11, 5, tzinfo=UTC)
_MODEL = "stg_aws_cur2__charges_daily"
_VIEW = "landed_aws_cur2__lines"
_MOST_HOURS = 720
_CHUNK_LINES = 1_000_000
_EXPORT = "bench-cur2"

# Line `j` of a month: hour j % 720 of series j // 720 (672 in February). Of 100 series 3 are GPU instances, 15 other
# instances, some of both under a plan or a reservation, the rest disks, requests, storage and egress; two series share
# a resource.
_LINES = """
with numbered as (
    select cast((n::hugeint * $step) % $total as bigint) as j from range($first, $last) as lines(n)
),
series as (
    select j, j // $hours as s, (j // $hours) % 100 as kind, hash(j) as h, hash(j // $hours) as hs,
        timestamp '$month' + to_hours(cast(j % $hours as integer)) as used_at,
        cast(cast((hash(j) % 100000000)::double / 1e10 as decimal(18, 10)) as double) as cost
    from numbered
),
typed as (
    select *,
        case
            when kind < 3 then 'BoxUsage:p5.48xlarge'
            when kind < 15 then 'BoxUsage:m6i.' || (hs % 8) || 'xlarge'
            when kind < 18 then 'EBSOptimized:g6.xlarge'
            when kind < 55 then 'USE1-EBS:VolumeUsage.gp3'
            when kind < 65 then 'USE1-Requests-Tier' || (hs % 3)
            when kind < 80 then 'USE1-TimedStorage-ByteHrs'
            else 'USE1-DataTransfer-Out-Bytes'
        end as usage_type,
        case
            when kind < 15 and hs % 3 = 0 then 'SavingsPlanCoveredUsage'
            when kind < 15 and hs % 5 = 0 then 'DiscountedUsage'
            else 'Usage'
        end as line_type
    from series
)
select
    'Anniversary' as bill_bill_type,
    'AWS' as bill_billing_entity,
    timestamp '$next_month' as bill_billing_period_end_date,
    timestamp '$month' as bill_billing_period_start_date,
    '2181117685' as bill_invoice_id,
    'Amazon Web Services, Inc.' as bill_invoicing_entity,
    '111122223333' as bill_payer_account_id,
    'Example' as bill_payer_account_name,
    map([]::varchar[], []::varchar[]) as cost_category,
    map([]::varchar[], []::double[]) as discount,
    0.0::double as discount_bundled_discount,
    0.0::double as discount_total_discount,
    substr(sha256('$month' || j), 1, 52) as identity_line_item_id,
    strftime(used_at, '%Y-%m-%dT%H:%M:%SZ') || '/' || strftime(used_at + interval 1 hour, '%Y-%m-%dT%H:%M:%SZ')
        as identity_time_interval,
    'us-east-1' || chr(97 + (s % 3)::int) as line_item_availability_zone,
    cost as line_item_blended_cost,
    '0.0100000000' as line_item_blended_rate,
    'USD' as line_item_currency_code,
    'Amazon Web Services, Inc.' as line_item_legal_entity,
    '$0.01 per unit of ' || usage_type as line_item_line_item_description,
    line_type as line_item_line_item_type,
    cost as line_item_net_unblended_cost,
    '0.0100000000' as line_item_net_unblended_rate,
    0.0::double as line_item_normalization_factor,
    0.0::double as line_item_normalized_usage_amount,
    case when kind < 18 then 'RunInstances' else 'Operation' || (hs % 20) end as line_item_operation,
    case when kind < 55 then 'AmazonEC2' when kind < 80 then 'AmazonS3' else 'AWSDataTransfer' end
        as line_item_product_code,
    'arn:aws:ec2:us-east-1:111122223333:thing/i-' || substr(md5((s // 2)::varchar), 1, 17) as line_item_resource_id,
    cast(null as varchar) as line_item_tax_type,
    cost as line_item_unblended_cost,
    '0.0100000000' as line_item_unblended_rate,
    (111122220000 + hs % 20)::varchar as line_item_usage_account_id,
    'account ' || (hs % 20) as line_item_usage_account_name,
    case when kind < 18 then 1.0 else (h % 1000000)::double / 1e6 end as line_item_usage_amount,
    used_at + interval 1 hour as line_item_usage_end_date,
    used_at as line_item_usage_start_date,
    usage_type as line_item_usage_type,
    'USD' as pricing_currency,
    cast(null as varchar) as pricing_lease_contract_length,
    cast(null as varchar) as pricing_offering_class,
    round(cost * 1.25, 10) as pricing_public_on_demand_cost,
    '0.0125000000' as pricing_public_on_demand_rate,
    cast(null as varchar) as pricing_purchase_option,
    'RATE' || hs % 50 as pricing_rate_code,
    '' || hs % 50 as pricing_rate_id,
    'OnDemand' as pricing_term,
    case when kind < 18 then 'Hrs' else 'GB-Mo' end as pricing_unit,
    map(
        ['product_name', 'gpu', 'vcpu', 'memory', 'tenancy', 'location', 'operating_system', 'physical_processor'],
        [
            'Amazon Elastic Compute Cloud', case when kind < 3 then '8' when kind < 18 then '1' else '0' end,
            '8', '32 GiB', 'Shared', 'US East (N. Virginia)', 'Linux', 'Intel Xeon Platinum'
        ]
    ) as product,
    case when kind < 3 then 'GPU instance' end as product_instance_family,
    case when kind < 3 then 'p5.48xlarge' when kind < 18 then 'm6i.xlarge' end as product_instance_type,
    'us-east-1' as product_region_code,
    'SKU' || (hs % 50) as product_sku,
    'AmazonEC2' as product_servicecode,
    case when line_type = 'DiscountedUsage' then round(cost * 0.6, 10) else 0.0 end as reservation_effective_cost,
    case when line_type = 'DiscountedUsage' then 'arn:aws:ec2:us-east-1:111122223333:reserved-instances/one' end
        as reservation_reservation_a_r_n,
    0.0::double as reservation_unused_amortized_upfront_fee_for_billing_period,
    0.0::double as reservation_unused_recurring_fee,
    map(['user_team'], ['team ' || hs % 10]) as resource_tags,
    case when line_type = 'SavingsPlanCoveredUsage' then 'arn:aws:savingsplans::111122223333:savingsplan/one' end
        as savings_plan_savings_plan_a_r_n,
    case when line_type = 'SavingsPlanCoveredUsage' then round(cost * 0.7, 10) else 0.0 end
        as savings_plan_savings_plan_effective_cost,
    0.0::double as savings_plan_total_commitment_to_date,
    0.0::double as savings_plan_used_commitment
from typed
"""


@dataclass(frozen=True)
class Export:
    """A folder with an export of so many lines, as many in each of its months up to October 2026, and a cache."""

    folder: Path
    lines: int
    months: int = 1
    chunk_lines: int = _CHUNK_LINES

    @property
    def landing(self) -> Landing:
        return Landing(FolderStore(self.folder / "landing"))

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def write(self) -> None:
        """Generate the export and land it as its source does."""
        export = self.folder / _EXPORT
        month = _LAST_MONTH
        for number in range(self.months):
            # What does not divide is in the last month.
            left_over = self.lines % self.months if number == 0 else 0
            self._write_month(export, month, self.lines // self.months + left_over)
            month = (month - timedelta(days=1)).replace(day=1)
        context = FetchContext(
            account="bench",
            settings={"export": str(export)},
            from_at=None,
            to_at=AS_OF,
            now=AS_OF,
            environment={},
            sleep=lambda seconds: None,
        )
        assert SOURCE.fetch is not None
        for fetched in SOURCE.fetch(context):
            self.landing.land(fetched, source=NAME, account="bench", now=AS_OF)
        shutil.rmtree(export)

    def _write_month(self, export: Path, month: date, lines: int) -> None:
        period = f"BILLING_PERIOD={month:%Y-%m}"
        chunks = max(1, math.ceil(lines / self.chunk_lines))
        names = [f"data/{period}/{_EXPORT}-{number + 1:05d}.snappy.parquet" for number in range(chunks)]
        for number, name in enumerate(names):
            self._write_chunk(export / name, month, lines, number)
        manifest = export / f"metadata/{period}/{_EXPORT}-Manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text(json.dumps({"dataFiles": [f"s3://bench/{_EXPORT}/{name}" for name in names]}))

    def _write_chunk(self, file: Path, month: date, lines: int, number: int) -> None:
        """A part of the month's lines: numbers step through it by a step that meets each of them once."""
        file.parent.mkdir(parents=True, exist_ok=True)
        step = next(n for n in range(lines * 5 // 8 + 1, 2 * lines) if math.gcd(n, lines) == 1)
        first, last = number * self.chunk_lines, min((number + 1) * self.chunk_lines, lines)
        days = monthrange(month.year, month.month)[1]
        sql = _LINES
        for name, value in (
            ("$step", step),
            ("$total", lines),
            ("$first", first),
            ("$last", last),
            ("$hours", min(_MOST_HOURS, 24 * days)),
            ("$month", month),
            ("$next_month", month + timedelta(days=days)),
        ):
            sql = sql.replace(name, str(value))
        with duckdb.connect() as made:
            made.execute(f"copy ({sql}) to {literal(str(file))} (format parquet, compression snappy)")

    def read(self) -> Landed:
        """Parse what is landed, or find it parsed."""
        return read_landed(
            self.landing.contents(), datasets=SOURCE.datasets, landing=self.landing, cache=self.cache, as_of=AS_OF
        )

    def build(self, landed: Landed) -> str:
        """The daily charges as a SELECT of the built node."""
        built = Runner(models=[_model()], relations=landed.relations, cache=self.cache).build()
        return built.nodes[_MODEL].sql(None)

    def bare(self, landed: Landed) -> duckdb.DuckDBPyConnection:
        """DuckDB alone: the same SELECT over the same view of the objects, in memory."""
        connection = duckdb.connect()
        connection.execute("set timezone = 'UTC'")
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"create view {_VIEW} as {landed.relations[_VIEW].sql(None)}")
        connection.execute(f"create table charges as {_model().sql}")
        return connection


def _model() -> SqlModel:
    return next(model for model in load_models(models_root() / "staging") if model.name == _MODEL)


def differences(export: Export) -> int:
    """Rows in which the built charges and DuckDB's differ: there must be none."""
    landed = export.read()
    built, connection = export.build(landed), export.bare(landed)
    rows = connection.execute(
        f"select count(*) from ((from charges except all ({built})) union all (({built}) except all from charges))"
    ).fetchall()
    connection.close()
    return int(rows[0][0])


def _parsed_and_built(export: Export) -> dict[str, float]:
    with took() as parsing:
        landed = export.read()
    parsing_memory = peak_memory_gib()
    with took() as building:
        export.build(landed)
    return {
        "parse_seconds": parsing.wall_seconds,
        "parse_cpu_seconds": parsing.cpu_seconds,
        "parse_peak_memory_gib": parsing_memory,
        "build_seconds": building.wall_seconds,
        "build_cpu_seconds": building.cpu_seconds,
        "build_peak_memory_gib": peak_memory_gib(),
    }


def _bare(export: Export) -> dict[str, float]:
    landed = export.read()
    with took() as alone:
        connection = export.bare(landed)
    rows = connection.execute("select count(*) from charges").fetchall()
    return {
        "daily_charges": rows[0][0],
        "bare_duckdb_seconds": alone.wall_seconds,
        "bare_duckdb_cpu_seconds": alone.cpu_seconds,
        "bare_duckdb_peak_memory_gib": peak_memory_gib(),
    }


_STEPS: Mapping[str, Callable[[Export], dict[str, float]]] = {"ours": _parsed_and_built, "bare": _bare}


def measured_lines(export: Export) -> dict[str, float]:
    """Write and land an export, then measure both sides, each in a process of its own."""
    export.write()
    figures: dict[str, float] = {
        "lines": export.lines,
        "months": export.months,
        "landed_gib": folder_gib(export.folder / "landing"),
    }
    for step in _STEPS:
        command = [sys.executable, "-m", "benchmarks.cur", "--step", step, "--folder", str(export.folder)]
        done = subprocess.run([*command, "--lines", str(export.lines)], check=True, capture_output=True, text=True)
        figures |= json.loads(done.stdout)
    if found := differences(export):
        raise BuildError(f"The build and DuckDB alone differ in {found} rows of {export.lines} lines.")
    for unit in ("seconds", "cpu_seconds"):
        ours = figures[f"parse_{unit}"] + figures[f"build_{unit}"]
        named = "parse_and_build_over_bare_duckdb" + ("_in_cpu" if unit == "cpu_seconds" else "")
        figures[named] = ours / figures[f"bare_duckdb_{unit}"]
    return figures


def main() -> None:
    asked = _arguments()
    if asked.step is not None:
        sys.stdout.write(json.dumps(_STEPS[asked.step](Export(asked.folder, asked.lines[0]))))
        return
    for lines, months in zip(asked.lines, asked.months, strict=True):
        scratch = Path(tempfile.mkdtemp(prefix="breakeven-cur-", dir=asked.folder))
        try:
            sys.stdout.write(json.dumps(measured_lines(Export(scratch, lines, months)), indent=2) + "\n")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cur")
    parser.add_argument("--lines", type=int, nargs="+", default=[1_000_000, 20_000_000], help="lines of each export")
    parser.add_argument("--months", type=int, nargs="+", default=[1, 12], help="in how many months each has them")
    parser.add_argument("--folder", type=Path, default=None, help="where scratch files lie; cleaned up")
    parser.add_argument("--step", choices=tuple(_STEPS), default=None, help="one side, of an export landed in --folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
