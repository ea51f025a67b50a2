"""What the business did with it: customers, tasks, revenue, by day or month. A CSV that somebody keeps or a job writes.

    date,driver,value,per,team,workload
    2026-11-03,tasks,1840,day,support,
    2026-11-01,customers,412,month,,

`per` is day (which it is where nothing is said) or month: a value of a month stands at any day of it. `team` and
`workload`, or neither, say whose cost it is held against: a team as `ownership` names it, a workload, or all that APIs,
models that clouds host, and GPUs cost. A file is what it says until a file of its name, in its folder, says otherwise;
where two files state one value differently, nobody knows it.
"""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import csv_header, decimal_text, iso_date, other_columns, read_csv
from pipeline.landing.dataset import Dataset, Frames, Settings, Table
from pipeline.sources.dropped import dropped_days
from pipeline.sources.source import Fetched, Source

NAME = "drivers_csv"
DATASET = "drivers"
PERIODS = ("day", "month")

_REQUIRED = ("date", "driver", "value")
_COLUMNS = (*_REQUIRED, "per", "team", "workload")
TABLE = Table(
    name=DATASET,
    columns={
        "driver": pl.String(),
        "value": pl.String(),
        "per": pl.String(),
        "team": pl.String(),
        "workload": pl.String(),
    },
)
_LONGEST_NAME = 200
# What sums of a month, or of a year's files, still hold exactly.
_LARGEST = 10**15


def recognise(name: str, head: bytes) -> str | None:
    """By its columns."""
    return DATASET if set(_REQUIRED) <= set(csv_header(head)) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped file, a unit of restatement by its name."""
    declared = {"file": PurePath(name).with_suffix("").as_posix()}
    return dropped_days(
        dataset=DATASET,
        name=name,
        content=content,
        media_type="text/csv",
        days=lambda: parse(content, declared)[DATASET]["usage_date"].to_list(),
        settings=declared,
        is_window=False,
    )


def parse(content: bytes, settings: Settings) -> Frames:
    """Every row, values as spelled. Raises QuarantineError, naming the row, for one that cannot be so."""
    file = read_csv(content, last_line_end_required=False)
    if absent := [name for name in _REQUIRED if name not in file.header]:
        raise QuarantineError(f"row 1: no column {', '.join(absent)}. It needs {', '.join(_REQUIRED)}.")
    rows = []
    seen: set[tuple[object, ...]] = set()
    for number, record in file.records():
        where = f"row {number}"
        day = iso_date(record["date"].strip(), name="date", where=where)
        driver = record["driver"].strip()
        per = record.get("per", "").strip() or "day"
        team, workload = (record.get(name, "").strip() or None for name in ("team", "workload"))
        if not driver or len(driver) > _LONGEST_NAME:
            raise QuarantineError(f"{where}: driver is {driver[:20]!r}. Name what is counted, as tasks or customers.")
        for name, text in (("team", team), ("workload", workload)):
            if text is not None and len(text) > _LONGEST_NAME:
                raise QuarantineError(
                    f"{where}: {name} has {len(text)} characters; at most {_LONGEST_NAME} are a name."
                )
        if per not in PERIODS:
            raise QuarantineError(f"{where}: per is {per!r}. It is {' or '.join(PERIODS)}.")
        if team is not None and workload is not None:
            raise QuarantineError(f"{where}: it has a team and a workload. A value is of one of them, or of all.")
        value = decimal_text(record["value"], name="value", where=where)
        if Decimal(value) < 0:
            raise QuarantineError(f"{where}: value is {value}, below 0.")
        if Decimal(value) > _LARGEST:
            raise QuarantineError(f"{where}: value is {value}, above {_LARGEST}. Count in a larger unit, as thousands.")
        stated = (day if per == "day" else (day.year, day.month), per, driver, team, workload)
        if stated in seen:
            raise QuarantineError(f"{where}: a second value of {driver} for this {per}.")
        seen.add(stated)
        unknown = {name: text for name, text in record.items() if name not in _COLUMNS and text}
        bucket = str(settings.get("file") or DATASET)
        rows.append((bucket, day, driver, value, per, team, workload, other_columns(unknown)))
    if not rows:
        raise QuarantineError(
            "It has no values, so what a file of its name said before still counts. To take that back, redact it: "
            "`breakeven landing redact`."
        )
    return {DATASET: pl.DataFrame(rows, schema=TABLE.schema, orient="row")}


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="invoice",
            measure="reference",
            tables=(TABLE,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
)
