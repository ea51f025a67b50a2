"""Azure's cost details: what is billed the actual costs say, what it effectively cost the amortized ones, once each."""

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.azure_cost_details import SOURCE, parse, recognise
from pipeline.sources.focus_shape import CHARGES
from tests.models.cloud_harness import CLOUD_CHECKS, MART, broken_laws, built, cloud_graph
from tests.pipeline.small_project import Answers, SmallProject, source
from tests.sources.azure import ACCOUNT, ENROLMENT, NAME, PLAN, VM, as_mca, bought, covered, details, row, run, unused

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)
TOTALS = f"select sum(billed_cost) as billed, sum(effective_cost) as effective from {MART}"
NODE = {"issuer": ACCOUNT, "resource_id": VM, "host": "nd-1", "gpu_count": 8, "from": "2026-01-01"}


def parsed(content: bytes, said: Mapping[str, Any] | None = None) -> pl.DataFrame:
    return parse(content, said or {})[CHARGES.name]


def refused(content: bytes, said: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(QuarantineError) as caught:
        parse(content, said or {})
    return str(caught.value)


def project(folder: Path, **sections: Any) -> SmallProject:
    return SmallProject(folder, [source(NAME, ACCOUNT)], sections)


def dropped(folder: Path, files: Mapping[str, bytes], *, graph: Any = None, **sections: Any) -> Answers:
    made = project(folder, **sections)
    for name, content in files.items():
        made.drop(NAME, ACCOUNT, name, content)
    return built(made, now=NOW, graph=graph)


def totals(answers: Answers) -> tuple[Decimal, Decimal]:
    (sums,) = answers.rows(TOTALS)
    return sums["billed"], sums["effective"]


# --- rows ------------------------------------------------------------------------------------------------------------

money = st.decimals(-(10**6), 10**6, allow_nan=False, places=15).map(lambda number: format(number, "f"))


@given(said=st.lists(st.tuples(money, st.integers(1, 30), st.sampled_from(["Usage", "Tax", "Refund"])), min_size=1))
@settings(max_examples=12)
def test_every_agreement_s_spelling_says_the_same_charges(said: Sequence[tuple[str, int, str]]) -> None:
    """B7, B8, B12: EA and a customer agreement, American dates and ISO ones, CSV and Parquet."""
    rows = [
        row(cost, ChargeType=kind, Date=f"11/{day}/2026", BillingPeriodStartDate="11/1/2026")
        for cost, day, kind in said
    ]
    rows.append(row("0", Date="11/1/2026"))
    iso = [{**one, "Date": f"2026-11-{int(one['Date'].split('/')[1]):02d}"} for one in rows]
    iso = [{**one, "BillingPeriodStartDate": "2026-11-01", "BillingPeriodEndDate": "2026-11-30"} for one in iso]
    read = [parsed(details(rows)), parsed(details(iso)), parsed(as_parquet(iso)), parsed(mca(rows))]
    for frame in read:
        assert dict(frame.schema) == CHARGES.schema
        assert frame["billed_cost"].to_list() == [Decimal(cost) for cost, _, _ in said] + [0]
        assert frame["usage_date"].to_list()[:-1] == [date(2026, 11, day) for _, day, _ in said]
        assert set(frame["bucket"]) == {f"Microsoft|{ENROLMENT}|2026-11-01|actual"}
        assert set(frame["billing_currency"]) == {"EUR"}
        assert frame["effective_cost"].to_list() == frame["billed_cost"].to_list()
    classes = {"Usage": ("Usage", None), "Tax": ("Tax", None), "Refund": ("Adjustment", "Correction")}
    assert [*zip(read[0]["charge_category"], read[0]["charge_class"], strict=True)][:-1] == [
        classes[kind] for _, _, kind in said
    ]


def as_parquet(rows: Sequence[Mapping[str, str]]) -> bytes:
    frame = pl.DataFrame(rows).with_columns(pl.col("CostInBillingCurrency").cast(pl.Decimal(38, 18)))
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def mca(rows: Sequence[Mapping[str, str]]) -> bytes:
    renamed = [as_mca(one) for one in rows]
    return details(renamed, header=list(renamed[0]))


def test_what_a_customer_agreement_says_more_is_said(tmp_path: Path) -> None:
    """B24: its invoice and its list cost; what FOCUS has no column for is kept."""
    frame = parsed(mca([row()]))
    (said,) = frame.select("invoice_id", "list_cost", "tags", "consumed_unit", "sku_meter").rows()
    assert said == ("G012345678", Decimal("120.5"), '{"team": "search"}', "1 Hour", "ND96isr H100 v5")
    assert "exchangeratepricingtobilling" in frame["other_columns"][0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (details([row()])[:-40], "row 2"),
        (gzip.compress(details([row()]))[:-20], "Not a readable gzip"),
        (details([row(), row("")]), "row 3: no costinbillingcurrency"),
        (details([row(BillingCurrencyCode="")]), "row 2: no billingcurrency"),
        (details([row(Date="31/12/2026")]), "date is '31/12/2026'"),
        (details([row()]).replace(b"CostInBillingCurrency", b"Cost"), "no column costinbillingcurrency"),
        (details([row(Date="11/20/2026"), row(Date="11/21/2026")]), "is this all of it, or its end alone"),
        (details([bought("480"), unused("60")]), "both actual and amortized"),
    ],
)
def test_what_cannot_be_a_month_s_costs_is_refused_with_its_row(content: bytes, words: str) -> None:
    assert words in refused(content)


def test_rows_that_contradict_what_a_file_is_said_to_be_are_refused() -> None:
    """B22: an amortized file taken for actual would bill what a commitment covers a second time."""
    assert "said to be of actual costs" in refused(details([unused("60")]), {"cost": "actual"})
    assert "said to be of amortized costs" in refused(details([bought("480")]), {"cost": "amortized"})
    assert "lists the file for 2026-10" in refused(details([row()]), {"billing_period": "2026-10"})


def test_a_setting_that_cannot_be_so_is_named() -> None:
    assert SOURCE.check is not None
    SOURCE.check({"cost": "amortized", "files": "whole"}, ())
    with pytest.raises(ConfigError, match=r"settings\.cost"):
        SOURCE.check({"cost": "amortised"}, ())


def test_one_of_several_files_is_not_all_of_its_month(tmp_path: Path) -> None:
    """B9."""
    made = project(tmp_path)
    made.drop(NAME, ACCOUNT, "part_0_0001.csv", details([row()]))
    assert built(made, now=NOW).rows(f"select * from {MART}") == []
    (left,) = made.quarantine(now=NOW)
    assert "numbered as one of several" in left.reason


# --- actual beside amortized ------------------------------------------------------------------------------------------

ACTUAL = [row("10"), covered(), bought("480"), row("2", ChargeType="Tax", PricingModel="")]
AMORTIZED = [row("10"), covered("420"), unused("60"), row("2", ChargeType="Tax", PricingModel="")]


def test_both_exports_of_a_month_bill_it_once_and_spread_it_once(tmp_path: Path) -> None:
    """B20, B22: 20 an hour for a day of which 420 was used: billed 480, effective 420 used and 60 unused."""
    answers = dropped(tmp_path, {"actual.csv": details(ACTUAL), "amortized.csv": details(AMORTIZED)})
    assert totals(answers) == (Decimal(10 + 480 + 2), Decimal(10 + 420 + 60 + 2))
    assert broken_laws(answers) == []
    asked = f"""
    select commitment_discount_status, sum(billed_cost) as billed, sum(effective_cost) as effective,
        sum(consumed_quantity) as hours
    from {MART} where commitment_discount_id is not null group by 1 order by 1
    """
    assert [tuple(one.values()) for one in answers.rows(asked)] == [
        ("Unused", 0, 60, 24),
        ("Used", 0, 420, 24),
        (None, 480, 0, None),
    ]
    assert {one["id"] for one in answers.rows(f"select distinct commitment_discount_id as id from {MART}")} == {
        None,
        PLAN.lower(),
    }


def test_what_covered_use_would_have_cost_at_list_is_counted_once(tmp_path: Path) -> None:
    """B22: both exports of a customer agreement state it (120.5 a row) for the same use."""
    files = {name: details([as_mca(one) for one in rows], header=list(as_mca(rows[0]))) for name, rows in (
        ("actual.csv", [row("10"), covered()]), ("amortized.csv", [row("10"), covered("420")]),
    )}  # fmt: skip
    asked = f"select sum(list_cost) as list from {MART}"
    assert dropped(tmp_path / "one", {"actual.csv": files["actual.csv"]}).rows(asked) == [{"list": Decimal(241)}]
    assert dropped(tmp_path / "both", files).rows(asked) == [{"list": Decimal(241)}]


def test_actual_costs_alone_leave_what_covered_use_costs_unknown(tmp_path: Path) -> None:
    """B20: not 0, which is what the export says of it."""
    answers = dropped(tmp_path, {"actual.csv": details(ACTUAL)})
    asked = f"from {MART} select billed_cost, effective_cost, consumed_quantity where pricing_category = 'Committed'"
    said = [tuple(one.values()) for one in answers.rows(f"{asked} and charge_category = 'Usage'")]
    assert said == [(0, None, 24)]
    assert totals(answers)[0] == Decimal(492)


def test_amortized_costs_alone_are_no_bill_and_a_law_says_so(tmp_path: Path) -> None:
    """B22."""
    answers = dropped(tmp_path, {"amortized.csv": details(AMORTIZED)})
    assert totals(answers)[0] == 0
    (law,) = broken_laws(answers)
    assert "has amortized costs and no actual ones" in law


lines = st.lists(
    st.tuples(
        st.sampled_from(["plain", "covered", "bought", "unused"]),
        st.decimals(Decimal("0.01"), 1000, places=2).map(str),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=5,
)


@given(said=lines)
@settings(max_examples=3, deadline=None, phases=(Phase.explicit, Phase.generate))
def test_billed_is_the_actual_sum_whatever_the_amortized_file_says(
    said: Sequence[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """B20, B22: against sums of the files' own strings."""
    made_of = {"plain": (row, row), "covered": (covered, covered), "bought": (bought, None), "unused": (None, unused)}
    actual, amortized = [row("1")], [row("1")]
    billed = effective = Decimal(1)
    for kind, cost, day in said:
        one, other = made_of[kind]
        if one is not None:
            actual.append(one("0" if kind == "covered" else cost, Date=f"11/{day}/2026"))
        if other is not None:
            amortized.append(other(cost, Date=f"11/{day}/2026"))
        billed += Decimal(cost) if kind in ("plain", "bought") else 0
        effective += Decimal(cost) if kind != "bought" else 0
    files = {"actual.csv": details(actual), "amortized.csv": details(amortized)}
    answers = dropped(tmp_path_factory.mktemp("both"), files)
    assert totals(answers) == (billed, effective)
    assert broken_laws(answers) == []


def test_hours_of_a_gpu_server_are_counted_once_under_a_plan(tmp_path: Path) -> None:
    """B18, B20: both exports list the same 24 hours; eight GPUs each. What NVIDIA sells for it is no other."""
    software = row("24", Date="11/2/2026", PublisherType="Marketplace", PublisherName="NVIDIA", MeterName="Per VM")
    actual = [row(Date="11/2/2026"), software, *ACTUAL[1:]]
    files = {"actual.csv": details(actual), "amortized.csv": details(AMORTIZED)}
    answers = dropped(tmp_path, files, graph=cloud_graph(["int_gpu_charges_daily"]), gpu_resources=[NODE])
    asked = "select usage_date, sum(gpu_milliseconds) as ms, sum(realized_cost) as cost from int_gpu_charges_daily "
    rows = answers.rows(asked + "where charge_kind = 'gpu_instance' group by 1 order by 1")
    day = 24 * 8 * 3_600_000
    assert [tuple(one.values()) for one in rows] == [
        (date(2026, 11, 1), day, 420),
        (date(2026, 11, 2), day, Decimal("124.25")),
    ]


# --- runs by manifest ------------------------------------------------------------------------------------------------


def exported(folder: Path) -> SmallProject:
    return SmallProject(folder, [source(NAME, ACCOUNT, inbox=None, settings={"export": "costs"})])


def test_of_a_month_the_run_submitted_last_counts_and_counts_once(tmp_path: Path) -> None:
    """B9, B10: partitions of one run are one statement; the runs before it lie beside it."""
    made = exported(tmp_path)
    root = tmp_path / "costs"
    run(root, {"part_0_0001.csv": details([row("1")])}, execution="run-9", submitted="2026-11-19T06:00:00Z")
    run(root, {"part_0_0001.csv": details([row("2")]), "part_1_0001.csv": details([row("3", Date="11/20/2026")])})
    (root / "20261101-20261130/run-1/part_9_0001.csv").write_bytes(details([row("4")]))
    answers = built(made, now=NOW)
    assert totals(answers) == (5, 5)
    assert [one.deliveries for one in made.ingest(now=NOW + timedelta(hours=1))] == [()]
    amortized = {"part_0_0001.csv": details([row("5"), covered("7")])}
    run(root, amortized, cost="AmortizedCost", execution="run-a")
    run(root, {"part_0_0001.csv": details([row("6")])}, execution="run-z", submitted="2026-11-21T06:00:00Z")
    later = built(made, now=NOW + timedelta(hours=2))
    assert totals(later) == (6, 13)
    assert broken_laws(later, CLOUD_CHECKS) == []


def test_two_subscriptions_of_one_account_do_not_replace_each_other(tmp_path: Path) -> None:
    """B9."""
    made = exported(tmp_path)
    for name in ("a", "b"):
        folder = run(tmp_path / "costs", {"part_0_0001.csv": details([row("1")])}, execution=name)
        said = json.loads((folder / "manifest.json").read_text())
        said["exportConfig"]["resourceId"] = f"/subscriptions/{name}/providers/Microsoft.CostManagement/exports/costs"
        (folder / "manifest.json").write_text(json.dumps(said))
    assert totals(built(made, now=NOW)) == (2, 2)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"listed": [("part_0_0001.csv", 3)]}, "has 3 bytes, and it has"),
        ({"listed": [("part_0_0002.csv", 3)]}, "not beside it: the copy is not whole"),
        ({"listed": [("../../../breakeven.yaml", 3)]}, "not beside it"),
        ({"listed": [("part_0_0001.csv", 3), ("part_0_0001.csv", 3)]}, "lists a file twice"),
        ({"start": "2026-11-20"}, "not of a month"),
    ],
)
def test_a_run_that_is_not_whole_counts_for_nothing(changed: Mapping[str, Any], words: str, tmp_path: Path) -> None:
    """B9, B12."""
    made = exported(tmp_path)
    run(tmp_path / "costs", {"part_0_0001.csv": details([row("2")])}, **changed)
    (done,) = made.ingest(now=NOW)
    assert words in str(done.error)
    assert done.deliveries == ()


def test_it_is_known_by_its_columns_whatever_their_casing() -> None:
    assert recognise("x.csv", details([row()])) == "cost_and_usage"
    assert recognise("x.csv", gzip.compress(mca([row()]))) == "cost_and_usage"
    assert recognise("x.csv", b"Date,Cost\n") is None
