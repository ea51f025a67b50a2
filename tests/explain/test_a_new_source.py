"""A source that the explanations and the law of money have never heard of: both follow it without a line of theirs."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.build.graph import BuildResult, Graph, build
from pipeline.build.publish import open_snapshot
from pipeline.decisions.graph import shipped_graph
from pipeline.errors import BuildError
from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.formats.values import read_csv
from pipeline.landing.dataset import Dataset, Frames, Money, Settings, Table
from pipeline.landing.fetched import Fetched, Payload
from pipeline.landing.landing import Landing
from pipeline.landing.store import FolderStore
from pipeline.paths import StatePaths, models_root

DAY = date(2026, 11, 3)
NOW = datetime(2026, 11, 5, 6, tzinfo=UTC)
BILL = Table(
    name="lines",
    columns={name: pl.String() for name in ("project", "class", "amount_mills", "money")},
    money=Money(home="api", amount="amount_mills", currency_column="money", decimal_places=3),
)
METER = Table(name="counts", columns={name: pl.String() for name in ("project", "key", "class", "tokens")})
BILL_FILE = b"""day,project,class,amount_mills,money
2026-11-03,p1,output,1000.5,EUR
2026-11-03,p1,output,1000.5,EUR
2026-11-03,p2,output,-7,EUR
2026-11-02,p1,output,99,EUR
"""
METER_FILE = b"""day,project,key,class,tokens
2026-11-03,p1,k1,output,2
2026-11-03,p1,k2,output,1
2026-11-03,p2,k1,output,5
"""
STAGED = ("context_window", "inference_geo", "speed", "raw_model", "service_tier")
BILL_STAGING = f"""-- One row per usage_date, account, sub_account_id, token_class, billing_currency.
-- partition: month
with lines as (
    select * from landed_acme_bill__lines
)

select
    usage_date, account, project as sub_account_id, cast(null as varchar) as api_key_id, 'tokens' as charge_kind,
    class as token_class, money as billing_currency, {", ".join(f"cast(null as varchar) as {name}" for name in STAGED)},
    cast(sum(cast(amount_mills as decimal(36, 15)) * 0.001) as decimal(38, 18)) as billed_cost
from lines
group by all
"""
METER_STAGING = f"""-- One row per usage_date, account, sub_account_id, api_key_id, token_class.
-- partition: month
select
    usage_date, cast(usage_date as timestamp) as usage_hour_at, account, project as sub_account_id, key as api_key_id,
    'tokens' as charge_kind, class as token_class,
    {", ".join(f"cast(null as varchar) as {name}" for name in STAGED)},
    cast(sum(cast(tokens as bigint)) as bigint) as tokens, cast(null as bigint) as web_search_request_count
from landed_acme_meter__counts
group by all
"""


def parse_csv(content: bytes, settings: Settings) -> Frames:
    table = BILL if b"amount_mills" in content else METER
    rows = [(record.pop("day"), *record.values(), None) for _, record in read_csv(content).records()]
    rows = [(day, date.fromisoformat(day), *rest) for day, *rest in rows]
    return {table.name: pl.DataFrame(rows, schema=table.schema, orient="row")}


DATASETS = (
    Dataset("acme_bill", "bill", "replace", "utc_day", "billed", (BILL,), parse_csv, issuer="acme"),
    Dataset("acme_meter", "meter", "replace", "utc_day", "metered", (METER,), parse_csv, issuer="acme"),
)


def listed(text: str, *, staging: str, source: str, dataset: str, like: str) -> str:
    """A model that unites sources with one more: the SELECT of another source, its names replaced."""
    start = text.rindex("select", 0, text.index(f"from {like}"))
    first = text[start : text.index(f"from {like}")]
    for number, name in enumerate(("provider", "source", "dataset", "activity")):
        at = first.find(f" as {name},")
        if at >= 0:
            opened = first.rindex("\n", 0, at)
            value = ("acme", source, dataset, dataset)[number]
            first = f"{first[:opened]}\n '{value}'{first[at:]}"
    return text[:start] + first + f"from {staging} union all " + text[start:]


@dataclass
class Acme:
    """A project whose only sources are the two above, over the shipped SQL models that list them."""

    folder: Path
    bill_staging: str = BILL_STAGING

    def __post_init__(self) -> None:
        self.paths = StatePaths(self.folder / "state")
        self.models = self.folder / "models"
        self.landing = Landing(FolderStore(self.paths.landing), catalog=self.paths.cache / "catalog")
        shutil.copytree(models_root(), self.models)
        (self.models / "staging" / "stg_acme_bill__costs_daily.sql").write_text(self.bill_staging)
        (self.models / "staging" / "stg_acme_meter__usage_hourly.sql").write_text(METER_STAGING)
        self._list("stg_anthropic_cost_api__costs_daily", "stg_acme_bill__costs_daily", "acme_bill", "bill")
        self._list("stg_anthropic_usage_api__usage_hourly", "stg_acme_meter__usage_hourly", "acme_meter", "meter")

    def _list(self, like: str, staging: str, source: str, dataset: str) -> None:
        for file in sorted(self.models.glob("intermediate/int_api_*.sql")):
            text = file.read_text()
            if f"from {like}" in text and " as provider,\n" in text[: text.index(f"from {like}")]:
                file.write_text(listed(text, staging=staging, source=source, dataset=dataset, like=like))

    def land(self, dataset: Dataset, name: str, content: bytes) -> None:
        fetched = Fetched(
            dataset=dataset.name,
            payloads=(Payload(name=name, content=content),),
            from_at=datetime(2026, 11, 2, tzinfo=UTC),
            to_at=datetime(2026, 11, 4, tzinfo=UTC),
            stated_at=NOW - timedelta(hours=1),
        )
        self.landing.land(fetched, source=dataset.source, account="main", now=NOW)

    def graph(self) -> Graph:
        shipped = shipped_graph()
        return Graph((*shipped.datasets, *DATASETS), shipped.python_models, self.models, shipped.checks_folder)

    def build(self) -> BuildResult:
        self.land(DATASETS[0], "bill.csv", BILL_FILE)
        self.land(DATASETS[1], "meter.csv", METER_FILE)
        return build(self.graph(), landing=self.landing, paths=self.paths, as_of=NOW, threads=2)

    def evidence(self) -> Evidence:
        return Evidence(
            self.build().snapshot,
            landing=self.landing,
            datasets=self.graph().datasets,
            cache=self.paths.cache,
            models_folder=self.models,
        )

    def rows(self, result: BuildResult, sql: str) -> list[tuple[Any, ...]]:
        return open_snapshot(result.snapshot).execute(sql).fetchall()


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Acme:
    return Acme(tmp_path_factory.mktemp("acme"))


@pytest.fixture(scope="module")
def explanation(acme: Acme) -> Iterator[Explanation]:
    with acme.evidence() as evidence:
        yield explain_cost(evidence, CostFigure(from_date=DAY, to_date=DAY + timedelta(days=1), api_key="k1"))


def table(explanation: Explanation, title: str) -> list[dict[str, Any]]:
    found = next(rows for rows in (*explanation.inputs, *explanation.objects) if rows.title.startswith(title))
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_a_new_bill_is_traced_to_its_rows_in_its_own_words(explanation: Explanation) -> None:
    """B9, B12: equal lines are two, at two places; the sums agree from the file's text to the mart."""
    assert explanation.holds, explanation.equalities
    lines = table(explanation, "Bill lines")
    assert [(row["where"], row["amount"]) for row in lines] == [
        ("row 2", "1000.5"),
        ("row 3", "1000.5"),
        ("row 4", "-7"),
    ]
    assert {row["file"] for row in lines} == {"bill.csv"}
    assert lines[0]["says"] == {
        "day": "2026-11-03",
        "project": "p1",
        "class": "output",
        "amount_mills": "1000.5",
        "money": "EUR",
    }


def test_a_new_meter_is_traced_and_splits_the_bill(explanation: Explanation) -> None:
    """B12: two thirds of p1's lines and all of p2's are this key's."""
    assert [(row["file"], row["where"], row["metered_count"]) for row in table(explanation, "Metered rows")] == [
        ("meter.csv", "row 2", 2),
        ("meter.csv", "row 3", 1),
        ("meter.csv", "row 4", 5),
    ]
    shares = {Fraction(row["share"]) for row in table(explanation, "Split of each charge")}
    assert shares == {Fraction("1.334"), Fraction("-0.007")}


def test_where_to_look_outside_is_said_by_file_and_total(explanation: Explanation) -> None:
    bill, _, meter = explanation.outside_check
    assert "acme_bill, main: 3 lines of bill.csv, days 2026-11-03 to 2026-11-03" in bill
    assert "expect 1.99 EUR; their amounts sum to 1994." in bill
    assert meter == "acme_meter, main, meter.csv, same days and filters: expect output 8."


def test_the_law_of_money_adds_up_a_new_bill_without_knowing_it(acme: Acme) -> None:
    """B7, B12, B24."""
    result = acme.build()
    stated = acme.rows(
        result, "select source, usage_date, billed_cost from fct_api_costs_daily where source = 'acme_bill'"
    )
    assert sum(cost for *_, cost in stated) == Decimal("2.093")
    assert acme.rows(result, "select * from check_api_money_conserved") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [("* 0.001", "* 0.01"), ("group by all", "where project = 'p1' group by all"), ("sum(", "2 * sum(")],
    ids=["takes its unit for another", "drops rows", "doubles rows"],
)
def test_a_new_staging_model_that_is_wrong_breaks_the_law_of_money(tmp_path: Path, old: str, new: str) -> None:
    """B7, B9, B12: from the first day on, before anyone has written a check for it."""
    wrong = Acme(tmp_path, bill_staging=BILL_STAGING.replace(old, new, 1))
    [*said] = wrong.rows(wrong.build(), "select scope, detail from check_api_money_conserved order by all")
    assert ("account:main", "acme_bill 2026-11-03") in {(scope, detail[:20]) for scope, detail in said}


def test_a_staging_model_that_renames_its_account_is_refused_by_name(tmp_path: Path) -> None:
    """B12: its rows have no place; none is made up."""
    renamed = Acme(
        tmp_path, bill_staging=BILL_STAGING.replace("usage_date, account,", "usage_date, 'main' as account,")
    )
    refusal = r"stg_acme_bill__costs_daily.*does not carry `account` through unchanged"
    with renamed.evidence() as evidence, pytest.raises(BuildError, match=refusal):
        explain_cost(evidence, CostFigure(from_date=DAY, to_date=DAY + timedelta(days=1)))
