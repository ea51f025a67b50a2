"""A year of everything of a generated company, as parsed Parquet in a cache: what a build of a year starts from.

No export is written or read: every delivery is landed with a few placeholder bytes, and what its reader would have
found in them is put where the build looks for it. All of it is generated; the company does not exist.
"""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from benchmarks import year_bills
from benchmarks.rows import Rows
from pipeline.build.closure import closure_hash
from pipeline.build.files import written_once
from pipeline.build.object_index import ParsedTable, Part, Stream, index_parquet
from pipeline.build.parsed import ParsedObject, Unread, announce, remembered_object
from pipeline.build.relations import duckdb_type, literal, quoted
from pipeline.decisions.graph import shipped_graph
from pipeline.landing.dataset import Table
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.project import CONFIG_FILE, Project
from pipeline.landing.records import digest

API_ACCOUNT = "bench-org"
GPU_ISSUER = "bench-gpu-cloud"
FLEET = "bench-fleet"
# The last of 365 days is then in the middle of a month: a new day adds to one.
_FIRST_DAY = date(2025, 12, 15)
_GPUS_PER_HOST = 8
_REPLICAS_PER_HOST = 4
_SCRAPES_PER_DAY = 288
_DEPLOYMENTS = (
    ("bench-llama", "meta-llama/Llama-3.3-70B-Instruct"),
    ("bench-qwen", "Qwen/Qwen3-32B"),
    ("bench-gemma", "google/gemma-3-27b-it"),
)
_HOSTS_PER_DEPLOYMENT = 2
_HOSTS = len(_DEPLOYMENTS) * _HOSTS_PER_DEPLOYMENT
# (workspace, model) x tier x key: what the usage report tells apart. The bill tells the first three apart.
_MODELS = ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-6")
_WORKSPACES = 12
_TIERS = ("standard", "batch", "flex")
_KEYS = 2
_CELLS = _WORKSPACES * len(_MODELS) * len(_TIERS)
_TOKEN_TYPES = (
    "uncached_input_tokens",
    "cache_read_input_tokens",
    "cache_creation.ephemeral_5m_input_tokens",
    "cache_creation.ephemeral_1h_input_tokens",
    "output_tokens",
)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How much is generated. Row counts are met to within one row an hour (usage) or a day (the others)."""

    days: int = 365
    samples: int = 100_000_000
    usage_rows: int = 500_000
    charge_rows: int = 200_000

    @property
    def ticks_per_day(self) -> int:
        """Samples of one GPU a day."""
        return max(24, round(self.samples / self.days / (_HOSTS * _GPUS_PER_HOST)))

    @property
    def usage_rows_per_hour(self) -> int:
        return max(1, round(self.usage_rows / self.days / 24))

    @property
    def charge_rows_per_day(self) -> int:
        return max(1, round(self.charge_rows / self.days))


@dataclass(frozen=True)
class Year:
    """A project whose landing names a year of deliveries and whose cache holds them parsed."""

    project: Project
    shape: Shape

    @property
    def first_day(self) -> date:
        return _FIRST_DAY

    @property
    def last_day(self) -> date:
        return _FIRST_DAY + timedelta(days=self.shape.days - 1)

    @property
    def as_of(self) -> datetime:
        return _midnight(self.last_day + timedelta(days=4))

    @property
    def late_day(self) -> date:
        """The day of which one host's file is missing at first: in the middle, where most windows look back at it."""
        return _FIRST_DAY + timedelta(days=self.shape.days // 2)

    def write(self) -> None:
        """Land and write everything but the late file."""
        self.project.folder.mkdir(parents=True, exist_ok=True)
        (self.project.folder / CONFIG_FILE).write_text(_config(), encoding="utf-8")
        self.project.land_config(_midnight(_FIRST_DAY))
        days = [_FIRST_DAY + timedelta(days=number) for number in range(self.shape.days)]
        for dataset in shipped_graph().datasets:
            # Reads every module once, here: Python 3.11's parser may fail when two threads are in it (gh-106905).
            closure_hash(dataset.parse.__module__)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(self._write_day, days):
                pass
        with _connection() as made:
            for month in sorted({day.replace(day=1) for day in days}):
                issued_after = min(_following_month(month) - timedelta(days=1), self.last_day)
                self._land(made, "invoice_csv", GPU_ISSUER, f"invoice-{month}", _invoice(month), None, issued_after)
                self._write_cloud_bill(made, month, issued_after)

    def write_new_day(self, number: int = 1) -> None:
        """What arrives so many mornings after the last day, of every source: the year is then a day longer."""
        day, landed = self.last_day + timedelta(days=number), self.as_of + timedelta(days=number, hours=-1)
        self._write_day(day, landed=landed)
        with _connection() as made:
            self._write_cloud_bill(made, day.replace(day=1), day, landed=landed)

    def write_late_file_and_restated_usage(self) -> None:
        """One dirty telemetry day and one dirty usage day."""
        with _connection() as made:
            landed = self.as_of - timedelta(hours=1)
            self._write_spool(made, self.late_day, _HOSTS - 1, landed=landed)
            self._write_usage(made, self.late_day, statement=2, landed=landed)

    def _write_day(self, day: date, *, landed: datetime | None = None) -> None:
        with _connection() as made:
            for host in range(_HOSTS):
                if (day, host) != (self.late_day, _HOSTS - 1):
                    self._write_spool(made, day, host, landed=landed)
            self._write_usage(made, day, statement=1, landed=landed)
            costs = {"costs": _costs(day, self.shape.charge_rows_per_day)}
            daily = (
                ("anthropic_cost_api", API_ACCOUNT, costs),
                ("openai_costs_api", year_bills.OPENAI_ACCOUNT, {"costs": year_bills.openai_costs(day)}),
                ("openai_usage_api", year_bills.OPENAI_ACCOUNT, {"completions": year_bills.openai_completions(day)}),
                ("ecb_rates", year_bills.RATES_ACCOUNT, {"rates": year_bills.rates(day)}),
            )
            for source, account, rows in daily:
                self._land(made, source, account, f"{source}-{day}", rows, day, day, landed=landed)

    def _write_cloud_bill(
        self, made: duckdb.DuckDBPyConnection, month: date, last: date, *, landed: datetime | None = None
    ) -> None:
        """A month of the cloud's bill up to a day, as a refresh states it, and the control's export of the same."""
        until = last + timedelta(days=1)
        for source, rows in (
            ("aws_cur2", {"lines": year_bills.cloud_lines(month, until)}),
            ("focus", {"charges": year_bills.cloud_control(month, until)}),
        ):
            name = f"{source}-{month}-{last}"
            self._land(made, source, year_bills.CLOUD_ACCOUNT, name, rows, None, last, landed=landed)

    def _write_spool(
        self, made: duckdb.DuckDBPyConnection, day: date, host: int, *, landed: datetime | None = None
    ) -> None:
        rows = {
            "gpu_samples": _samples(day, host, self.shape.ticks_per_day),
            "engine_scrapes": _scrapes(day, host),
            "agent_records": _agent_records(day, host),
        }
        self._land(made, "nvml_spool", FLEET, f"spool-{host}-{day}", rows, None, day, landed=landed)

    def _write_usage(
        self, made: duckdb.DuckDBPyConnection, day: date, *, statement: int, landed: datetime | None = None
    ) -> None:
        rows = {"usage": _usage(day, self.shape.usage_rows_per_hour, statement)}
        name = f"usage-{day}-{statement}"
        later = timedelta(hours=statement)
        self._land(made, "anthropic_usage_api", API_ACCOUNT, name, rows, day, day, later=later, landed=landed)

    def _land(
        self,
        made: duckdb.DuckDBPyConnection,
        source: str,
        account: str,
        name: str,
        rows: Mapping[str, Rows],
        window: date | None,
        day: date,
        later: timedelta = timedelta(0),
        landed: datetime | None = None,
    ) -> None:
        """A delivery of one placeholder object stated the morning after, and what its reader would have found.

        It landed as it was stated, or only at `landed`.
        """
        dataset = next(
            found
            for found in shipped_graph().datasets
            if found.source == source and {table.name for table in found.tables} == rows.keys()
        )
        stated = _midnight(day + timedelta(days=1)) + timedelta(hours=6) + later
        fetched = Fetched(
            dataset=dataset.name,
            payloads=(Payload(name=name, content=f"generated: {name}".encode()),),
            from_at=window and _midnight(window),
            to_at=window and _midnight(window + timedelta(days=1)),
            stated_at=stated,
            stated_by="file_name",
            grouping=dataset.grouping,
        )
        delivery = self.project.landing.land(fetched, source=dataset.source, account=account, now=landed or stated)
        (placeholder,) = delivery.objects
        cache = self.project.paths.cache
        unread = remembered_object(placeholder, dataset=dataset, settings=delivery.settings, cache=cache)
        if not isinstance(unread, Unread):
            return
        tables = {table.name: _write_table(made, unread.folder, table, rows[table.name]) for table in dataset.tables}
        announce(unread.folder, ParsedObject(sha256=placeholder.sha256, tables=tables))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _following_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set timezone = 'UTC'")
    return connection


def _write_table(made: duckdb.DuckDBPyConnection, folder: Path, table: Table, rows: Rows) -> ParsedTable:
    """Write the rows of one day. Equal SQL makes equal rows, so its hash is what identifies them."""
    typed = ", ".join(
        f"cast({quoted(name)} as {duckdb_type(kind)}) as {quoted(name)}" for name, kind in table.schema.items()
    )
    file = folder / f"{table.name}.parquet"
    with written_once(file) as aside:
        made.execute(
            f"copy (select {typed} from ({rows.sql})) to {literal(str(aside))} "
            "(format parquet, compression zstd, compression_level 1)"
        )
    if table.money is not None or rows.usage_date is None:
        return index_parquet(file, table)
    part = Part(bucket=rows.bucket, usage_date=rows.usage_date, rows=rows.count, content=digest(rows.sql.encode()))
    return ParsedTable(place=str(file), parts=(part,), streams=rows.streams)


# --- what the readers would have found -------------------------------------------------------------------------------


def _agent(host: int) -> str:
    return f"bench-agent-{host}"


def _spool_columns(day: date, host: int) -> str:
    return (
        f"'{day}' as bucket, date '{day}' as usage_date, 'bench-host-{host}' as host, 'bench-boot-{host}' as boot_id, "
        f"'{_agent(host)}' as agent_start_id, null as other_columns"
    )


def _samples(day: date, host: int, ticks: int) -> Rows:
    """Each GPU serves, waits or is empty for ten minutes at a time; one sample a tick."""
    number, interval_ms, gpus = (day - _FIRST_DAY).days, 86_400_000 // ticks, _GPUS_PER_HOST
    first = number * ticks * gpus
    sql = f"""
        select
            {_spool_columns(day, host)}, 'bench-node-{host}' as provider_resource_id,
            {first} + tick * {gpus} + gpu as sequence_number,
            timestamp '{day}' + to_milliseconds((tick + 1) * {interval_ms}) as at,
            {interval_ms} as interval_ms, 'GPU-bench-{host}-' || gpu as gpu_uuid,
            util as util_gpu_pct, util // 3 as util_memory_pct,
            case when mood = 0 then 0 else 70000000000 end as memory_used_bytes,
            ({number * ticks} + tick) * {interval_ms * 400} + noise % 1000 as energy_millijoules,
            90000 + util * 5000 + noise % 5000 as power_milliwatts,
            util * 6000 + noise % 600 as sm_active_ppm, null as tensor_active_ppm, null as dram_active_ppm,
            0 as clocks_event_reasons, case when mood = 0 then 0 else 1 end as compute_process_count,
            null as mig_held_ppm,
            'ok' as health, 0 as samples_lost
        from (
            select tick, gpu, noise, mood, case when mood < 4 then 0 else 20 + noise % 80 end as util
            from (
                select
                    ticks.range as tick, gpus.range as gpu,
                    cast(hash({number}, {host}, ticks.range, gpus.range) % 1000000 as bigint) as noise,
                    hash({number}, {host}, ticks.range * {interval_ms} // 600000, gpus.range) % 10 as mood
                from range({ticks}) as ticks cross join range({gpus}) as gpus
            )
        )"""
    stream = Stream(values=(_agent(host),), first=first, last=first + ticks * gpus - 1)
    return Rows(sql=sql, count=ticks * gpus, bucket=str(day), usage_date=day, streams=(stream,))


def _scrapes(day: date, host: int) -> Rows:
    """Counters of every replica's engine each five minutes, since a start before the year."""
    number, replicas = (day - _FIRST_DAY).days, _REPLICAS_PER_HOST
    first, count = number * _SCRAPES_PER_DAY * replicas, _SCRAPES_PER_DAY * replicas
    per_replica = _GPUS_PER_HOST // replicas
    uuids = " || ',' || ".join(f"""'"GPU-bench-{host}-' || (replica * {per_replica} + {n}) || '"'""" for n in (0, 1))
    served_name = _DEPLOYMENTS[host // _HOSTS_PER_DEPLOYMENT][1]
    sql = f"""
        select
            {_spool_columns(day, host)}, '{served_name}' as model_name, '0' as engine_rank,
            {first} + tick * {replicas} + replica as sequence_number,
            timestamp '{day}' + to_minutes((tick + 1) * 5) as at, 300000 as interval_ms,
            'http://127.0.0.1:' || (8000 + replica) || '/metrics' as target, 'replica-' || replica as replica_id,
            'vllm' as engine, '0.11.0' as engine_version, timestamp '2025-12-01' as process_started_at,
            passed * 400000 + noise as prompt_tokens, 'delivered' as prompt_counts,
            passed * 120000 + noise // 4 as prompt_tokens_cached, passed * 90000 + noise // 5 as generation_tokens,
            passed * 50 as requests_success, noise % 16 as requests_running, 0 as requests_waiting,
            null as identity_gap_tokens, null as prompt_tokens_transferred, null as engine_role,
            null as gpu_memory_bytes,
            '[' || {uuids} || ']' as gpu_uuids, null as gpu_shares_ppm, 'declared' as gpu_method,
            200 as http_status, 5 as duration_ms, null as scrape_error
        from (
            select
                ticks.range as tick, replicas.range as replica,
                {number * _SCRAPES_PER_DAY} + ticks.range as passed,
                cast(hash({number}, {host}, ticks.range, replicas.range) % 300000 as bigint) as noise
            from range({_SCRAPES_PER_DAY}) as ticks cross join range({replicas}) as replicas
        )"""
    stream = Stream(values=(_agent(host), served_name, "0"), first=first, last=first + count - 1)
    return Rows(sql=sql, count=count, bucket=str(day), usage_date=day, streams=(stream,))


def _agent_records(day: date, host: int) -> Rows:
    """The header of the day's file and one inventory line a GPU."""
    count = _GPUS_PER_HOST + 1
    first = (day - _FIRST_DAY).days * count
    sql = f"""
        select
            {_spool_columns(day, host)}, {first} + range as sequence_number, timestamp '{day}' as at,
            case when range = 0 then 'header' else 'gpu' end as record,
            case when range > 0 then 'GPU-bench-{host}-' || (range - 1) end as gpu_uuid,
            null as interval_ms, 'bench-node-{host}' as provider_resource_id, null as reason, null as detail
        from range({count})"""
    stream = Stream(values=(_agent(host),), first=first, last=first + count - 1)
    return Rows(sql=sql, count=count, bucket=str(day), usage_date=day, streams=(stream,))


def _cell(number: str) -> str:
    """What both the usage report and the bill tell apart, by the number of the cell."""
    models, tiers = (f"[{', '.join(literal(name) for name in names)}]" for names in (_MODELS, _TIERS))
    return (
        f"'wrkspc_' || ({number} // {len(_MODELS) * len(_TIERS)}) as workspace_id, "
        f"{models}[{number} // {len(_TIERS)} % {len(_MODELS)} + 1] as model, "
        f"{tiers}[{number} % {len(_TIERS)} + 1] as service_tier, '0-200k' as context_window, null as inference_geo"
    )


def _usage(day: date, rows_per_hour: int, statement: int) -> Rows:
    """The keys that called in each hour; another statement of the day says other counts."""
    seed = f"'{day}', hour, combination, {statement}"
    sql = f"""
        select
            '{day}' as bucket, date '{day}' as usage_date, {_cell(f"(combination // {_KEYS})")},
            'apikey_' || combination as api_key_id,
            strftime(timestamp '{day}' + to_hours(hour), '%Y-%m-%dT%H:%M:%SZ') as starting_at,
            strftime(timestamp '{day}' + to_hours(hour + 1), '%Y-%m-%dT%H:%M:%SZ') as ending_at,
            hash({seed}) % 900000 as uncached_input_tokens, hash({seed}, 1) % 900000 as cache_read_input_tokens,
            hash({seed}, 2) % 90000 as cache_creation_5m_input_tokens, 0 as cache_creation_1h_input_tokens,
            hash({seed}, 3) % 300000 as output_tokens, 0 as web_search_requests, null as other_columns
        from (
            select
                hours.range as hour,
                (hours.range * {rows_per_hour} + numbers.range * 7) % {_CELLS * _KEYS} as combination
            from range(24) as hours cross join range({rows_per_hour}) as numbers
        )"""
    return Rows(sql=sql, count=24 * rows_per_hour, bucket=str(day), usage_date=day)


def _costs(day: date, rows: int) -> Rows:
    """Billed lines: a cell's five token types in turn; what goes beyond the cells is a second line of a first one."""
    types = f"[{', '.join(literal(name) for name in _TOKEN_TYPES)}]"
    sql = f"""
        select
            '{day}' as bucket, date '{day}' as usage_date, {_cell(f"(range // {len(_TOKEN_TYPES)} % {_CELLS})")},
            '{day}T00:00:00Z' as starting_at, '{day + timedelta(days=1)}T00:00:00Z' as ending_at,
            printf('%d.%03d', 10 + hash('{day}', range) % 5000, hash('{day}', range, 1) % 1000) as amount,
            'USD' as currency, 'generated' as description, 'tokens' as cost_type,
            {types}[range % {len(_TOKEN_TYPES)} + 1] as token_type, null as speed, null as other_columns
        from range({rows})"""
    return Rows(sql=sql, count=rows, bucket=str(day), usage_date=day)


def _invoice(month: date) -> dict[str, Rows]:
    """A month's GPU invoice: one line a node, storage and support, and the total they sum to."""
    until = _following_month(month)
    hours = (until - month).days * 24
    node = Decimal("2.69") * _GPUS_PER_HOST * hours
    charges = [("gpu_instance", f"'bench-node-{host}'", node) for host in range(_HOSTS)]
    charges += [("storage", "null", Decimal("1250.00")), ("support", "null", Decimal("900.00"))]
    common = (
        f"'bench-{month:%Y-%m}' as bucket, date '{month}' as usage_date, 'bench-{month:%Y-%m}' as invoice_id, "
        f"'USD' as currency, '{month}T00:00:00Z' as period_start, '{until}T00:00:00Z' as period_end, "
        "null as other_columns"
    )
    lines = " union all ".join(
        f"select {common}, {number} as line_number, 'generated' as description, '{kind}' as charge_kind, "
        f"{resource} as resource_id, '{_GPUS_PER_HOST}' as gpu_count, '{hours * _GPUS_PER_HOST}' as quantity, "
        f"'GPU-hour' as unit, '2.69' as unit_price, '{amount:.2f}' as amount"
        for number, (kind, resource, amount) in enumerate(charges, start=2)
    )
    total = sum((amount for _, _, amount in charges), Decimal(0))
    totals = f"select {common}, '{total:.2f}' as total_amount, '{until + timedelta(days=2)}' as issued_on"
    bucket = f"bench-{month:%Y-%m}"
    return {
        "lines": Rows(sql=lines, count=len(charges), bucket=bucket, usage_date=month),
        "totals": Rows(sql=totals, count=1, bucket=bucket, usage_date=month),
    }


def _config() -> str:
    """`breakeven.yaml` of the generated company."""
    sources = [
        ("anthropic_cost_api", API_ACCOUNT),
        ("anthropic_usage_api", API_ACCOUNT),
        ("openai_costs_api", year_bills.OPENAI_ACCOUNT),
        ("openai_usage_api", year_bills.OPENAI_ACCOUNT),
        ("aws_cur2", year_bills.CLOUD_ACCOUNT),
        ("focus", year_bills.CLOUD_ACCOUNT),
        ("ecb_rates", year_bills.RATES_ACCOUNT),
        ("invoice_csv", GPU_ISSUER),
        ("nvml_spool", FLEET),
    ]
    deployments, workloads = [], []
    for number, (name, served_name) in enumerate(_DEPLOYMENTS):
        hosts = [f"bench-host-{number * _HOSTS_PER_DEPLOYMENT + host}" for host in range(_HOSTS_PER_DEPLOYMENT)]
        capacity = {
            "prefill_tokens_per_second": 9000,
            "decode_tokens_per_second": 2200,
            "measured_on": "2025-12-01",
            "source": "generated",
        }
        deployments.append(
            {
                "deployment": name,
                "model": name,
                "served_names": [served_name],
                "hosts": hosts,
                "gpus_per_replica": _GPUS_PER_HOST // _REPLICAS_PER_HOST,
                "capacity": capacity,
            }
        )
        match = [
            {"deployment": name},
            {"provider": "anthropic", "workspace": f"wrkspc_{number * 2}"},
            {"provider": "anthropic", "workspace": f"wrkspc_{number * 2 + 1}"},
        ]
        workloads.append(
            {"workload": f"{name}-traffic", "deployment": name, "api_model": _MODELS[number], "match": match}
        )
    resources = [
        {
            "issuer": GPU_ISSUER,
            "resource_id": f"bench-node-{host}",
            "host": f"bench-host-{host}",
            "gpu_count": _GPUS_PER_HOST,
            "contract_rate_per_gpu_hour": "2.69",
            "from": _FIRST_DAY.isoformat(),
        }
        for host in range(_HOSTS)
    ]
    # JSON is YAML.
    return json.dumps(
        {
            "company": "bench-org",
            "sources": [
                {
                    "source": name,
                    "account": account,
                    "settle_lag_hours": 4,
                    "role": "control" if name == "focus" else "book",
                }
                for name, account in sources
            ],
            "gpu_resources": resources,
            "deployments": deployments,
            "workloads": workloads,
        }
    )
