"""A graph of three SQL models over one landed table, small enough to see through."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.build.graph import BuildResult, Graph, build
from pipeline.build.publish import open_snapshot, publish
from pipeline.errors import QuarantineError
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.landing import Landing
from pipeline.landing.records import Delivery
from pipeline.landing.store import FolderStore
from pipeline.paths import StatePaths

COSTS = Table(name="costs", columns={"item": pl.String(), "amount": pl.String()})
READINGS = Table(
    name="readings",
    columns={"agent": pl.String(), "sequence_number": pl.Int64(), "value": pl.Int64()},
    key=("agent", "sequence_number"),
)

STAGING = """-- One row per usage_date, account, item, amount.
-- partition: day
select usage_date, account, item, cast(amount as decimal(38, 18)) as billed_cost
from landed_bills__costs
"""
MONTHLY = """-- One row per usage_date, item.
-- partition: month
select usage_date, item, sum(billed_cost) as billed_cost, count(*) as row_count
from stg_costs
group by usage_date, item
"""
TOTALS = """-- One row per item.
-- partition: none
select item, sum(billed_cost) as billed_cost
from fct_costs_daily
group by item
"""
TRAILING = """-- One row per usage_date: the cost of that day and the six before it.
-- partition: month
-- lookback: fct_costs_daily 6 days
select calendar.usage_date, sum(costs.billed_cost) as trailing_cost
from calendar
left join fct_costs_daily as costs
    on costs.usage_date <= calendar.usage_date and costs.usage_date > calendar.usage_date - interval 7 day
group by calendar.usage_date
"""
READ = """-- One row per usage_date, agent.
-- partition: day
select usage_date, agent, cast(sum(value) as bigint) as value_sum, count(*) as row_count
from landed_meters__readings
group by usage_date, agent
"""
MODELS = {
    "staging/stg_costs": STAGING,
    "marts/fct_costs_daily": MONTHLY,
    "marts/fct_totals": TOTALS,
    "marts/fct_trailing_daily": TRAILING,
    "marts/fct_readings_daily": READ,
}


def parse_costs(payload: bytes, settings: Settings) -> Frames:
    try:
        rows = json.loads(payload)
    except ValueError:
        raise QuarantineError("not JSON") from None
    return {
        "costs": pl.DataFrame(
            [
                {
                    "bucket": row["day"],
                    "usage_date": date.fromisoformat(row["day"]),
                    "item": row["item"],
                    "amount": row["amount"],
                    "other_columns": None,
                }
                for row in rows
            ],
            schema=COSTS.schema,
            orient="row",
        )
    }


def parse_readings(payload: bytes, settings: Settings) -> Frames:
    rows = json.loads(payload)
    return {
        "readings": pl.DataFrame(
            [
                {
                    "bucket": row["day"],
                    "usage_date": date.fromisoformat(row["day"]),
                    "agent": row["agent"],
                    "sequence_number": row["seq"],
                    "value": row["value"],
                    "other_columns": None,
                }
                for row in rows
            ],
            schema=READINGS.schema,
            orient="row",
        )
    }


BILLS = Dataset(
    source="bills", name="bill", mode="replace", bucket="utc_day", measure="billed", tables=(COSTS,), parse=parse_costs
)
METERS = Dataset(
    source="meters",
    name="meter",
    mode="append",
    bucket="utc_day",
    measure="metered",
    tables=(READINGS,),
    parse=parse_readings,
)


def noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00").astimezone(UTC)


@dataclass
class SmallProject:
    """Landing, models and state of the small graph in one folder."""

    folder: Path
    models: dict[str, str] = field(default_factory=lambda: dict(MODELS))

    def __post_init__(self) -> None:
        self.paths = StatePaths(self.folder / "state")
        self.landing = Landing(FolderStore(self.paths.landing), catalog=self.paths.cache / "catalog")

    def land_costs(
        self,
        rows: list[tuple[str, str, str]],
        *,
        days: tuple[str, str],
        stated: datetime,
        landed: datetime | None = None,
        complete: bool = True,
        account: str = "acme",
        horizon: datetime | None = None,
        grouping: str = "",
    ) -> Delivery:
        """rows: (day, item, amount); days: [from, to)."""
        content = json.dumps([{"day": day, "item": item, "amount": amount} for day, item, amount in rows]).encode()
        fetched = Fetched(
            dataset="bill",
            payloads=(Payload(name="page-1.json", content=content),),
            from_at=datetime.fromisoformat(f"{days[0]}T00:00:00+00:00"),
            to_at=datetime.fromisoformat(f"{days[1]}T00:00:00+00:00"),
            horizon_at=horizon,
            complete=complete,
            stated_at=stated,
            stated_by="http_date",
            grouping=grouping,
        )
        return self.landing.land(fetched, source="bills", account=account, now=landed or stated + timedelta(minutes=1))

    def land_readings(self, rows: list[Mapping[str, Any]], *, stated: datetime, account: str = "acme") -> Delivery:
        fetched = Fetched(
            dataset="meter", payloads=(Payload(name="spool", content=json.dumps(rows).encode()),), stated_at=stated
        )
        return self.landing.land(fetched, source="meters", account=account, now=stated)

    def graph(self) -> Graph:
        folder = self.folder / "models"
        for name, sql in self.models.items():
            file = folder / f"{name}.sql"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(sql)
        return Graph(datasets=(BILLS, METERS), python_models=(), models_folder=folder, checks_folder=folder / "none")

    def build(
        self, as_of: str = "2026-11-15", *, state: Path | None = None, make_current: bool = True, threads: int = 1
    ) -> BuildResult:
        """As `breakeven run` does it: what is current is published."""
        paths = StatePaths(state) if state else self.paths
        result = build(
            self.graph(),
            landing=self.landing,
            paths=paths,
            as_of=noon(as_of),
            threads=threads,
            make_current=make_current,
        )
        if make_current:
            publish(result.snapshot, paths.published)
        return result

    def rows(self, result: BuildResult, table: str) -> list[tuple[Any, ...]]:
        connection = open_snapshot(result.snapshot)
        return connection.execute(f"select * from {table} order by all").fetchall()
