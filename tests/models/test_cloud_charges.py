"""Cloud bills from files in an inbox to the cloud, GPU and reconciliation tables."""

import gzip
import itertools
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from pipeline.paths import models_root
from tests.models.cloud_harness import (
    CLOUD_CHECKS,
    CLOUD_TABLES,
    FOCUS,
    MART,
    NOW,
    broken,
    broken_laws,
    built,
    cloud_graph,
    focus,
    focus_csv,
    line,
)
from tests.pipeline.small_project import INVOICE, Answers, SmallProject, invoice_csv, source
from tests.sources import cur2

COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
ACCOUNT = "cloudy"
PERIODS = ("2026-10", "2026-11")


def project(folder: Path, *sources: Mapping[str, Any], **sections: Any) -> SmallProject:
    return SmallProject(folder, sources or (focus(),), sections)


def charged(folder: Path, lines: Sequence[Mapping[str, str]], *, graph: Any = None, **sections: Any) -> Answers:
    """One file, landed and built."""
    made = project(folder, **sections)
    made.drop(FOCUS, ACCOUNT, "focus.csv", focus_csv(lines))
    return built(made, graph=graph)


def decimal_sum(texts: Iterable[str]) -> Decimal:
    with localcontext() as context:
        context.prec = 60
        return sum(map(Decimal, texts), Decimal(0))


def test_a_table_that_is_no_focus_is_a_bill_by_what_is_said_of_its_columns(tmp_path: Path) -> None:
    """A newer file says its month anew; one whose columns are others waits in quarantine, and loses nothing."""
    said = {
        "columns": {"ResourceId": "Instance", "ChargePeriodStart": "Started", "BilledCost": "Amount"},
        "defaults": {"BillingAccountId": "acme", "BillingCurrency": "USD", "ProviderName": "Rented"},
    }
    made = project(tmp_path, focus(settings=said))
    rows = "i-1,2026-11-02T04:00:00Z,21.52\r\ni-2,2026-11-03T04:00:00Z,10.76\r\n"
    made.drop(FOCUS, ACCOUNT, "november.csv", f"Instance,Started,Amount\r\n{rows}".encode())
    made.drop(FOCUS, ACCOUNT, "other.csv", b"Instance,Started,Total\r\ni-1,2026-11-02T04:00:00Z,99\r\n")
    answers = built(made)
    asked = f"select usage_date, resource_id, billed_cost from {MART} order by all"
    assert [tuple(row.values()) for row in answers.rows(asked)] == [
        (date(2026, 11, 2), "i-1", Decimal("21.52")),
        (date(2026, 11, 3), "i-2", Decimal("10.76")),
    ]
    assert broken_laws(answers) == []
    (left,) = made.quarantine(now=NOW)
    assert "no column 'Amount', which settings.columns names" in left.reason
    made.drop(FOCUS, ACCOUNT, "again.csv", f"Instance,Started,Amount\r\n{rows.replace('21.52', '20.00')}".encode())
    later = built(made, now=NOW + timedelta(hours=1))
    assert sum(row["billed_cost"] for row in later.rows(asked)) == Decimal("30.76")
    assert broken_laws(later) == []


# --- money -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """One file: what a provider says of some of its billing periods. `costs`: the columns of money it has."""

    provider: str
    lines: tuple[tuple[str, str, str, str, tuple[str, ...]], ...]
    costs: tuple[str, ...]

    def content(self) -> bytes:
        return focus_csv(
            [
                {
                    **{name: value for name, value in line().items() if name not in COSTS},
                    **dict(zip(self.costs, amounts, strict=False)),
                    "ProviderName": self.provider,
                    "BillingAccountId": f"account of {self.provider}",
                    "BillingPeriodStart": f"{period}-01T00:00:00Z",
                    "ChargePeriodStart": f"{period}-{day}T23:30:00Z",
                    "BillingCurrency": currency,
                    "ChargeCategory": category,
                }
                for period, day, currency, category, amounts in self.lines
            ],
            columns=[*(name for name in line() if name not in COSTS), *self.costs],
        )


money = st.decimals(-(10**9), 10**9, allow_nan=False, places=12).map(lambda number: format(number, "f"))
statements = st.builds(
    Statement,
    provider=st.sampled_from(["Cloudy", "Nimbus"]),
    lines=st.lists(
        st.tuples(
            st.sampled_from(PERIODS),
            st.sampled_from(["01", "02"]),
            st.sampled_from(["USD", "EUR", "Token"]),
            st.sampled_from(["Usage", "Tax", "Credit", "Purchase"]),
            st.tuples(money, money, money, money),
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
    costs=st.permutations(COSTS[1:]).flatmap(
        lambda others: st.integers(0, 3).map(lambda kept: ("BilledCost", *others[:kept]))
    ),
)


def expected_money(said: Sequence[Statement]) -> dict[tuple[str, str], Decimal]:
    """(currency, cost) -> money, of the last statement about each provider's billing period, from its own text."""
    last = {(one.provider, item[0]): number for number, one in enumerate(said) for item in one.lines}
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for number, one in enumerate(said):
        for period, _, currency, _, amounts in one.lines:
            if last[one.provider, period] == number:
                for name, text in zip(one.costs, amounts, strict=False):
                    texts[currency.upper(), name].append(text)
    return {key: decimal_sum(found) for key, found in texts.items()}


def told_money(answers: Answers) -> dict[tuple[str, str], Decimal]:
    names = dict(zip(("billed_cost", "effective_cost", "list_cost", "contracted_cost"), COSTS, strict=True))
    rows = answers.rows(
        f"select billing_currency, {', '.join(f'sum({name}) as {name}' for name in names)} from {MART} group by all"
    )
    return {
        (row["billing_currency"], theirs): row[ours]
        for row in rows
        for ours, theirs in names.items()
        if row[ours] is not None
    }


@settings(max_examples=12)
@given(
    said=st.lists(statements, min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
    together=st.booleans(),
)
def test_money_in_the_files_is_money_in_the_mart_whatever_the_order_of_delivery(
    said: list[Statement], order: Any, together: bool
) -> None:
    """Laws B9, B10, B20, B23: per currency and kind of cost, for restated periods, refunds, files dropped twice."""
    names = [f"{number}-20261201T00000{number}Z.csv" for number in range(len(said))]
    arrivals = [*zip(names, said, strict=True), (f"copy-{names[0]}", said[0])]
    order.shuffle(arrivals)
    with TemporaryDirectory() as folder:
        made = project(Path(folder))
        for minutes, (name, one) in enumerate(arrivals):
            made.drop(FOCUS, ACCOUNT, name, one.content())
            if not together:
                made.ingest(now=NOW - timedelta(hours=1) + timedelta(minutes=minutes))
        answers = built(made)
        assert told_money(answers) == expected_money(said)
        assert broken_laws(answers) == []


STATED = (
    line(BilledCost="0.1", ChargeDescription="equal"),
    line(BilledCost="0.1", ChargeDescription="equal"),
    line(BilledCost="-0.03", EffectiveCost="-0.03", ChargeCategory="Credit"),
    line(BilledCost="7", EffectiveCost="0", ChargeCategory="Purchase", BillingCurrency="EUR"),
)


def test_equal_lines_are_different_charges_and_a_credit_keeps_its_sign(tmp_path: Path) -> None:
    """Classes B9, B10, B23: 0.1 twice, -0.03 once, and 7 of another currency that nothing is added to."""
    answers = charged(tmp_path, STATED)
    assert told_money(answers)["USD", "BilledCost"] == Decimal("0.17")
    assert told_money(answers)["EUR", "BilledCost"] == Decimal("7")
    assert answers.one(f"select sum(line_count) from {MART}") == 4
    assert broken_laws(answers) == []


@pytest.mark.parametrize(
    ("model", "old", "new"),
    [
        ("stg_focus__charges_daily", "sum(billed_cost)", "max(billed_cost)"),
        ("stg_focus__charges_daily", "sum(billed_cost)", "abs(sum(billed_cost))"),
        ("stg_focus__charges_daily", "sum(billed_cost)", "round(sum(billed_cost), 1)"),
        ("stg_focus__charges_daily", "from named\n", "from named where charge_category != 'Credit'\n"),
        ("int_cloud_charges_daily", "select * from final", "select * from final union all select * from final"),
        ("int_cloud_charges_daily", "then owned.effective_cost", "then 0 * owned.effective_cost"),
        ("fct_cloud_charges_daily", "        line_count\n    from united", "        1 as line_count\n    from united"),
        ("fct_cloud_charges_daily", "    select * from converted_charges\n", "    select * from own_charges\n"),
    ],
    ids=["merges equal lines", "loses a sign", "rounds", "drops credits", "doubles", "drops a cost", "miscounts",
         "drops a currency"],
)  # fmt: skip
def test_a_model_that_gets_a_cloud_sum_wrong_breaks_the_law_of_money(
    tmp_path: Path, model: str, old: str, new: str
) -> None:
    """Classes B7, B9, B10, B12, B23."""
    answers = charged(tmp_path, STATED, graph=cloud_graph(replaced=[broken(model, old, new)]))
    assert any(
        law.startswith(f"cloud_money_is_conserved account:{ACCOUNT}: focus 2026-11-02") for law in broken_laws(answers)
    )


def test_a_restated_period_replaces_only_itself_and_a_correction_of_a_closed_one_counts(tmp_path: Path) -> None:
    """Class B10: October's error is given back in November's file; restating November leaves October alone."""
    october = line(BillingPeriodStart="2026-10-01T00:00:00Z", ChargePeriodStart="2026-10-02T00:00:00Z", BilledCost="10")
    correction = line(BilledCost="-4", ChargeClass="Correction", ChargePeriodStart="2026-10-02T00:00:00Z")
    made = project(tmp_path)
    made.drop(FOCUS, ACCOUNT, "10-20261105T000000Z.csv", focus_csv([october]))
    made.drop(FOCUS, ACCOUNT, "11-20261106T000000Z.csv", focus_csv([line(BilledCost="3")]))
    made.drop(FOCUS, ACCOUNT, "11-20261107T000000Z.csv", focus_csv([line(BilledCost="2.5"), correction]))
    answers = built(made)
    rows = answers.rows(
        f"select usage_date, billing_period_start_date, charge_class, sum(billed_cost) as cost from {MART} "
        "group by all order by all"
    )
    assert [tuple(row.values()) for row in rows] == [
        (date(2026, 10, 2), date(2026, 10, 1), None, 10),
        (date(2026, 10, 2), date(2026, 11, 1), "Correction", -4),
        (date(2026, 11, 2), date(2026, 11, 1), None, Decimal("2.5")),
    ]


def test_a_charge_of_a_month_stands_on_its_first_day(tmp_path: Path) -> None:
    """Class B8: a tax of the month is not spread, and not moved into another month by its end."""
    tax = line(ChargeCategory="Tax", ChargePeriodStart="2026-11-01T00:00:00Z", ChargePeriodEnd="2026-12-01T00:00:00Z")
    answers = charged(tmp_path, [tax, line()])
    assert answers.one(f"select usage_date from {MART} where charge_category = 'Tax'") == date(2026, 11, 1)


def test_a_cost_that_one_line_of_a_row_leaves_out_is_unknown_for_the_row(tmp_path: Path) -> None:
    """Class B20: the sum of what is stated would read as the whole."""
    answers = charged(tmp_path, [line(), line(ListCost="", EffectiveCost="NULL"), line(ServiceName="Storage")])
    rows = answers.rows(f"select service, billed_cost, effective_cost, list_cost from {MART} order by service")
    assert [tuple(row.values()) for row in rows] == [("Compute", 2, None, None), ("Storage", 1, 1, 1)]


# --- an export of several files --------------------------------------------------------------------------------------


EXPORT = {"source": FOCUS, "account": ACCOUNT, "settings": {"export": "export"}}


def test_the_files_of_a_manifest_are_one_delivery_and_a_stale_one_beside_them_is_not_counted(tmp_path: Path) -> None:
    """Class B9: the folder holds 1 + 2 + 4, the manifest lists 1 + 2; the next refresh lists one file of 5."""
    made = project(tmp_path, EXPORT)
    place = cur2.FolderPlace(made.folder / "export")
    chunks = [gzip.compress(focus_csv([line(BilledCost=str(2**number))])) for number in range(3)]
    names = [f"{place.root}/data/BILLING_PERIOD=2026-11/{cur2.NAME}-0000{number}.csv.gz" for number in (1, 2)]
    cur2.refresh(place, chunks, at=NOW - timedelta(days=3), period="2026-11", listed=names)
    assert built(made).one(f"select sum(billed_cost) from {MART}") == 3
    again = gzip.compress(focus_csv([line(BilledCost="5")]))
    cur2.refresh(place, [again], at=NOW - timedelta(days=1), period="2026-11")
    answers = built(made)
    assert answers.one(f"select sum(billed_cost) from {MART}") == 5
    assert broken_laws(answers) == []
    assert [len(one.deliveries) for one in made.ingest(now=NOW)] == [0]


def test_files_that_each_hold_a_part_add_up_and_a_file_of_the_same_name_replaces(tmp_path: Path) -> None:
    """Class B9, B24: one day's file of many replaces no other day's."""
    days = {day: line(ChargePeriodStart=f"2026-11-{day}T00:00:00Z", BilledCost=day) for day in ("07", "08", "09")}
    made = project(tmp_path, focus(settings={"files": "parts"}))
    for day, one in days.items():
        made.drop(FOCUS, ACCOUNT, f"2026-11-{day}-00001.csv", focus_csv([one]))
    assert built(made).one(f"select sum(billed_cost) from {MART}") == 24
    again = focus_csv([days["08"] | {"BilledCost": "100"}])
    made.drop(FOCUS, ACCOUNT, "2026-11-08-00001.csv", again)
    answers = built(made, now=NOW + timedelta(hours=1))
    assert answers.one(f"select sum(billed_cost) from {MART}") == 116
    assert broken_laws(answers) == []


def test_a_part_of_an_export_without_its_manifest_is_quarantined_and_the_rest_counts(tmp_path: Path) -> None:
    """Class B9: it is listed with what to do, and what was landed before stays."""
    made = project(tmp_path)
    made.drop(FOCUS, ACCOUNT, "november.csv", focus_csv([line()]))
    made.drop(FOCUS, ACCOUNT, "cloudy-00002.csv", focus_csv([line(BilledCost="9")]))
    assert built(made).one(f"select sum(billed_cost) from {MART}") == 1
    (entry,) = made.quarantine(now=NOW)
    assert "settings.export" in entry.reason


def test_files_below_an_s3_prefix_are_stated_when_s3_says_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class B9: moto's server on loopback; the newer object restates, whatever the names and the order of the keys."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    try:
        client = boto3.client("s3")
        client.create_bucket(Bucket="exports")
        place = cur2.S3Place(client, "exports")
        place.put("november.csv", focus_csv([line(BilledCost="2")]), at=NOW - timedelta(days=1))
        place.put("z/november.csv.gz", gzip.compress(focus_csv([line(BilledCost="1")])), at=NOW - timedelta(days=2))
        made = project(tmp_path, focus())
        made.configure(sources=[{**focus(), "inbox": f"s3://exports/exports/{cur2.NAME}"}])
        answers = built(made)
    finally:
        server.stop()
    assert answers.rows(f"select sum(billed_cost) as cost from {MART}") == [{"cost": 2}]
    assert {item.delivery.stated_by for item in answers.result.landed.current.values()} == {"last_modified"}


# --- the book --------------------------------------------------------------------------------------------------------


def beside_an_invoice(tmp_path: Path, **invoice: Any) -> Answers:
    """FOCUS and an invoice by lines of one account in November, the invoice with these fields."""
    made = project(tmp_path, focus(), source(INVOICE, ACCOUNT, **invoice))
    october = line(BillingPeriodStart="2026-10-01T00:00:00Z", ChargePeriodStart="2026-10-02T00:00:00Z")
    made.drop(FOCUS, ACCOUNT, "focus.csv", focus_csv([line(), october]))
    made.drop(INVOICE, ACCOUNT, "invoice.csv", invoice_csv([("GPU server", "node-1", "1.00")]))
    return built(made)


def test_of_two_books_one_is_summed_and_both_are_named(tmp_path: Path) -> None:
    """Class B22: FOCUS beside the invoice of the same month: its GPU lines are charges already."""
    answers = beside_an_invoice(tmp_path)
    rows = answers.rows(f"select month(usage_date) as month, is_book from {MART} order by all")
    assert [tuple(row.values()) for row in rows] == [(10, True), (11, False)]
    assert broken_laws(answers) == [
        "one_dollar_one_home account:cloudy: focus and invoice_csv are both the book of record of issuer cloudy in "
        "2026-11. One of them is summed: give the others `role: control` in breakeven.yaml."
    ]


def test_beside_a_control_the_book_is_summed_and_a_control_never(tmp_path: Path) -> None:
    """Class B22."""
    answers = beside_an_invoice(tmp_path, role="control")
    assert answers.rows(f"select distinct role, is_book from {MART}") == [{"role": "book", "is_book": True}]
    assert broken_laws(answers) == []
    made = project(tmp_path / "alone", focus(role="control"))
    made.drop(FOCUS, ACCOUNT, "focus.csv", focus_csv([line()]))
    answers = built(made)
    assert answers.rows(f"select distinct role, is_book from {MART}") == [{"role": "control", "is_book": False}]


def beside_cur(folder: Path, *, cur_role: str = "book", focus_role: str = "book") -> Answers:
    """The same charge of a GPU resource in FOCUS and in AWS's own report, in an export each."""
    report = {"source": "aws_cur2", "account": ACCOUNT, "role": cur_role, "settings": {"export": "cur2"}}
    made = project(folder, focus(role=focus_role), report, gpu_resources=[NODE])
    fields = {"BillingPeriodStart": "2026-10-01T00:00:00Z", "ChargePeriodStart": "2026-10-02T03:00:00Z"}
    made.drop(FOCUS, ACCOUNT, "focus.csv", focus_csv([gpu_line("1", BilledCost="1", **fields)]))
    hour = cur2.line(1.0, line_item_resource_id="i-1")
    option = cur2.line(0.25, line_item_resource_id="i-1", line_item_usage_type="EBSOptimized:g6.xlarge")
    cur2.refresh(cur2.FolderPlace(made.folder / "cur2"), [cur2.parquet([hour, option])], at=NOW - timedelta(days=3))
    return built(made, graph=cloud_graph((MART, "int_gpu_charges_daily", *CLOUD_CHECKS)))


GPU_SUMS = (
    "select source, sum(realized_cost) as cost, sum(gpu_milliseconds) / 3600000 as hours from int_gpu_charges_daily "
    "group by source"
)


def test_of_focus_beside_cur_one_is_summed_and_both_are_shown(tmp_path: Path) -> None:
    """Classes B9, B18, B22: the finer one where nobody said which; its options of an instance are no GPU hours."""
    answers = beside_cur(tmp_path)
    rows = answers.rows(f"select source, is_book, sum(billed_cost) as cost from {MART} group by all order by 1")
    assert [tuple(row.values()) for row in rows] == [("aws_cur2", True, Decimal("1.25")), (FOCUS, False, 1)]
    assert answers.rows(GPU_SUMS) == [{"source": "aws_cur2", "cost": Decimal("1.25"), "hours": 8}]
    (law,) = broken_laws(answers)
    assert "aws_cur2 and focus are both the book of record of issuer cloudy in 2026-10" in law


def test_a_declared_control_is_not_the_book_however_fine(tmp_path: Path) -> None:
    """Class B22."""
    answers = beside_cur(tmp_path, cur_role="control")
    rows = answers.rows(f"select distinct source, role, is_book from {MART} order by 1")
    assert [tuple(row.values()) for row in rows] == [("aws_cur2", "control", False), (FOCUS, "book", True)]
    assert answers.rows(GPU_SUMS) == [{"source": FOCUS, "cost": 1, "hours": 8}]
    assert broken_laws(answers) == []


def test_one_billing_account_of_two_provider_names_and_dates_is_questioned(tmp_path: Path) -> None:
    """Class B9: a file that restates under another name would stand beside the one it restates."""
    made = project(tmp_path)
    made.drop(FOCUS, ACCOUNT, "20261106T000000Z.csv", focus_csv([line()]))
    made.drop(FOCUS, ACCOUNT, "20261107T000000Z.csv", focus_csv([line(ProviderName="Cloudy Web Services")]))
    (law,) = broken_laws(built(made))
    assert "billing period 2026-11-01 of billing account 111122223333 is counted from files of different dates" in law
    assert "as of Cloudy and Cloudy Web Services" in law


def test_whole_files_beside_parts_of_the_same_period_are_questioned(tmp_path: Path) -> None:
    """Class B9: a setting changed on the way."""
    made = project(tmp_path)
    made.drop(FOCUS, ACCOUNT, "20261106T000000Z.csv", focus_csv([line()]))
    made.ingest(now=NOW - timedelta(hours=1))
    made.configure(sources=[focus(settings={"files": "parts"})])
    made.drop(FOCUS, ACCOUNT, "20261107T000000Z.csv", focus_csv([line(), line()]))
    (law,) = broken_laws(built(made))
    assert law.endswith("whole files and parts (settings.files). Deliver it one way.")


# --- currencies ------------------------------------------------------------------------------------------------------

ECB = "ecb_rates"
RATES = b"Date,USD,JPY,\n2026-11-02,1.1201,175.1,\n"


@settings(max_examples=5)
@given(amounts=st.lists(st.tuples(money, money, money, money), min_size=1, max_size=5))
def test_each_cost_is_converted_at_the_days_rate_exactly(amounts: list[tuple[str, ...]]) -> None:
    """Law of B23: yen x (dollars per euro) / (yen per euro), half away from zero at 10^-18; without a rate, nothing."""
    lines = [
        line(BillingCurrency=currency, ServiceName=str(number), **dict(zip(COSTS, said, strict=True)))
        for number, said in enumerate(amounts)
        for currency in ("JPY", "USD", "XTS")
    ]
    with TemporaryDirectory() as folder:
        made = project(Path(folder), focus(), {"source": ECB, "account": "ecb", "inbox": f"inbox/{ECB}/ecb"})
        made.drop(FOCUS, ACCOUNT, "focus.csv", focus_csv(lines))
        made.drop(ECB, "ecb", "rates.csv", RATES)
        rows = built(made).rows(f"select * from {MART} order by all")
    unknown = [row for row in rows if row["billing_currency"] == "XTS"]
    for row in (row for row in rows if row not in unknown):
        for name in ("billed_cost", "effective_cost", "list_cost", "contracted_cost"):
            with localcontext() as context:
                context.prec = 80
                factor = (Decimal("1.1201"), Decimal("175.1")) if row["billing_currency"] == "JPY" else (1, 1)
                exact = row[name] * factor[0] / factor[1]
                assert row[f"{name}_rc"] == exact.quantize(Decimal(1).scaleb(-18), rounding=ROUND_HALF_UP)
        assert row["conversion_status"] == "converted"
    assert {(row["billed_cost_rc"], row["conversion_status"]) for row in unknown} == {(None, "unconverted")}


# --- GPUs ------------------------------------------------------------------------------------------------------------

GPU_TABLES = (
    "fct_gpu_costs_daily",
    "fct_reconciliation_invoice",
    "check_gpu_money_conserved",
    "check_gpu_time_conserved",
    "check_gpu_hours_are_known",
)
NODE = {"issuer": ACCOUNT, "resource_id": "i-1", "gpu_count": 8, "from": "2026-01-01"}


def gpu_line(hours: str, **fields: str) -> dict[str, str]:
    return line(**{"ResourceId": "i-1", "SkuId": "BOX", "ConsumedQuantity": hours, "ConsumedUnit": "Hours", **fields})


GPU_LINES = (
    gpu_line("10", BilledCost="100.01", EffectiveCost="100.01", PricingCategory="Standard"),
    gpu_line("14", BilledCost="0", EffectiveCost="70.5", PricingCategory="Committed", CommitmentDiscountStatus="Used"),
    gpu_line("24", BilledCost="0", EffectiveCost="0", SkuMeter="an option of the instance"),
    gpu_line("5", BilledCost="0.45", ConsumedUnit="GB"),
    line(ResourceId="i-1", ChargeCategory="Credit", BilledCost="-1"),
    line(ResourceId="i-1", ChargeCategory="Tax", BilledCost="19"),
    gpu_line("24", ResourceId="i-2", BilledCost="500"),
)


def gpu_charged(folder: Path, lines: Sequence[Mapping[str, str]], **sections: Any) -> Answers:
    graph = cloud_graph((MART, *GPU_TABLES, *CLOUD_CHECKS))
    return charged(folder, lines, graph=graph, gpu_resources=[NODE], **sections)


def test_a_charge_of_a_declared_gpu_resource_is_gpu_cost_and_no_other_is(tmp_path: Path) -> None:
    """Classes B12, B18, B20: 10 h billed and 14 h covered are 24 h of 8 GPUs; an option's hours are no more hours."""
    answers = gpu_charged(tmp_path, GPU_LINES)
    rows = answers.rows(
        "select charge_kind, cost_measure, is_gpu_charge, sum(realized_cost) as cost, "
        "sum(gpu_milliseconds) / 3600000 as hours from int_gpu_charges_daily group by all order by all"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("credit", "billed", True, -1, None),
        ("gpu_instance", "billed", True, Decimal("100.01"), 192),
        ("gpu_instance", "effective", True, Decimal("70.5"), 0),
        ("other", "billed", False, Decimal("0.45"), None),
        ("tax", "billed", False, 19, None),
    ]
    told = answers.rows(
        "select cost_measure, sum(realized_cost) as cost from fct_gpu_costs_daily where cost_measure != 'accrued' "
        "group by all order by 1"
    )
    assert [tuple(row.values()) for row in told] == [("billed", Decimal("118.46")), ("effective", Decimal("70.5"))]
    assert answers.one("select sum(gpu_hours) from fct_gpu_costs_daily where cost_measure = 'billed'") == 192
    assert answers.one(f"select count(*) from {MART} where is_gpu_resource") == 6
    assert broken_laws(answers, (*GPU_TABLES[2:], *CLOUD_CHECKS)) == []


def test_hours_of_a_gpu_resource_are_not_lost_when_nobody_bills_it_on_demand(tmp_path: Path) -> None:
    """Class B13: a day that a commitment covers wholly has its hours beside its amortised cost."""
    answers = gpu_charged(tmp_path, GPU_LINES[1:2])
    assert answers.one("select sum(gpu_hours) from fct_gpu_costs_daily where cost_measure = 'effective'") == 112


def test_gpu_time_that_nobody_declares_is_told_by_the_type_of_its_instance(tmp_path: Path) -> None:
    """Which rows are GPU time and how many GPU-hours: by what is metered and a dated table; it costs GPUs nothing."""
    lines = (
        gpu_line("2", ResourceId="i-2", ProviderName="AWS", SkuMeter="USE1-BoxUsage:p5.48xlarge", BilledCost="180"),
        gpu_line("2", ResourceId="i-2", ProviderName="AWS", SkuMeter="EBSOptimized:p5.48xlarge", BilledCost="3"),
        gpu_line("3", ResourceId="i-3", ProviderName="AWS", SkuMeter="SpotUsage:m7i.large", BilledCost="5"),
        gpu_line("4", ResourceId="vm-1", ProviderName="Microsoft", SkuMeter="NC80adis H100 v5 Spot", BilledCost="20"),
        gpu_line("1", ResourceId="vm-2", ProviderName="Microsoft", SkuMeter="ND96asr A100 v4", BilledCost="27"),
        gpu_line("7200", ResourceId="a3", ProviderName="Google Cloud", ConsumedUnit="seconds", BilledCost="9",
                 SkuMeter="Nvidia H100 80GB GPU running in Americas"),
        gpu_line("5", ResourceId="ocid", ConsumedUnit="GPU Per Hour", BilledCost="50"),
        gpu_line("1", ProviderName="AWS", SkuMeter="BoxUsage:p4d.24xlarge", BilledCost="30"),
    )  # fmt: skip
    table = "int_cloud_gpu_charges_daily"
    answers = charged(tmp_path, lines, graph=cloud_graph((table, "int_gpu_charges_daily")), gpu_resources=[NODE])
    rows = answers.rows(
        "select resource_id, instance_type, gpu_type, gpu_count, is_declared, gpu_milliseconds / 3600000 as hours, "
        f"realized_cost from {table} order by is_declared desc, resource_id"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("i-1", "p4d.24xlarge", "A100-40GB", 8, True, 8, 30),
        ("a3", None, None, None, False, 2, 9),
        ("i-2", "p5.48xlarge", "H100", 8, False, 16, 180),
        ("ocid", None, None, None, False, 5, 50),
        ("vm-1", "Standard_NC80adis_H100_v5", "H100", 2, False, 8, 20),
        ("vm-2", "Standard_ND96asr_v4", "A100-40GB", 8, False, 8, 27),
    ]
    assert answers.rows("select resource_id, realized_cost from int_gpu_charges_daily") == [
        {"resource_id": "i-1", "realized_cost": Decimal(30)}
    ]


def test_hours_of_a_gpu_resource_are_those_of_each_clouds_focus_export(tmp_path: Path) -> None:
    """B18: AWS's options that cost something; Google's GPUs, cores and memory in seconds; hundreds; software."""
    google = {"ProviderName": "Google Cloud", "ServiceName": "Compute Engine", "ConsumedUnit": "seconds"}
    exports = {
        "aws": (
            gpu_line("1", ProviderName="AWS", x_UsageType="USE1-BoxUsage:p5.48xlarge", BilledCost="90"),
            gpu_line("1", ProviderName="AWS", x_UsageType="USE1-EBSOptimized:p5.48xlarge", BilledCost="2"),
            gpu_line("1", ProviderName="AWS", x_UsageType="SoftwareUsage:p5.48xlarge", BilledCost="3"),
        ),
        "google": (
            gpu_line("28800", **google, ChargeDescription="Nvidia H100 80GB GPU running in Americas", BilledCost="80"),
            gpu_line("3600", **google, ChargeDescription="A3 Instance Core running in Americas", BilledCost="6"),
            gpu_line("1", **google, ChargeDescription="Licensing Fee", BilledCost="1"),
            gpu_line("28800", **google, ChargeDescription="Licensing Fee for NVIDIA AI Enterprise (GPU cost)"),
            gpu_line("28800", **google, ChargeDescription="Management fee on NVIDIA H100 80GB GPU in Iowa"),
        ),
        "google's newest": (
            gpu_line("28800", **google, ChargeDescription="A4 Nvidia B200 (1 gpu slice) running in Americas"),
            gpu_line("3600", **google, ChargeDescription="RTX 6000 96GB running in Belgium"),
            gpu_line("3600", **google, ChargeDescription="G4 Instance Core running in Belgium"),
        ),
        "hundreds": (gpu_line("0.01", ConsumedUnit="100 Hours", BilledCost="90"),),
        "software": (
            gpu_line("1", ProviderName="Microsoft", SkuMeter="ND96isr H100 v5", BilledCost="90"),
            gpu_line("1", ProviderName="Microsoft", SkuMeter="96 vCPU VM License", BilledCost="4"),
            gpu_line("1", ProviderName="Microsoft", SkuMeter="5+ vCPU VM Support", BilledCost="2"),
            gpu_line("1", ProviderName="Microsoft", SkuMeter="96 vCPU VM", BilledCost="1"),
        ),
    }
    found = {}
    for name, lines in exports.items():
        answers = gpu_charged(tmp_path / name, lines)
        found[name] = {
            (row["charge_kind"], row["hours"]): row["cost"]
            for row in answers.rows(
                "select charge_kind, sum(realized_cost) as cost, sum(gpu_milliseconds) / 3600000 as hours "
                "from int_gpu_charges_daily where cost_measure = 'billed' group by all"
            )
        }
        assert broken_laws(answers, (*GPU_TABLES[2:], *CLOUD_CHECKS)) == []
    assert found == {
        "aws": {("gpu_instance", 8): 90, ("other", None): 5},
        "google": {("gpu_instance", 8): 89},
        "google's newest": {("gpu_instance", 9): 3},
        "hundreds": {("gpu_instance", 8): 90},
        "software": {("gpu_instance", 8): 97},
    }


def test_absurd_hours_are_unknown_in_any_unit_and_a_credit_has_none(tmp_path: Path) -> None:
    """B18: ten million times 9,999 hours; hundreds of none; and what a seller gives back of a GPU that is covered."""
    gpu = {"ProviderName": "Google Cloud", "ServiceName": "Compute Engine", "ConsumedUnit": "seconds",
           "SkuMeter": "Nvidia H100 80GB GPU running in Americas"}  # fmt: skip
    lines = (
        *(gpu_line("9999999", ConsumedUnit="9999 Hours", SkuId=f"{number}") for number in range(40)),
        gpu_line("24", ConsumedUnit="0 Hours"),
        gpu_line("28800", **gpu, EffectiveCost="", PricingCategory="Committed"),
        gpu_line("28800", **gpu, ChargeCategory="Credit", BilledCost="-5"),
    )
    rows = gpu_charged(tmp_path, lines).rows(
        "select charge_kind, cost_measure, count(*) as charges, sum(gpu_milliseconds) / 3600000 as hours "
        "from int_gpu_charges_daily group by all order by all"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("credit", "billed", 1, None),
        ("gpu_instance", "billed", 40, None),
        ("gpu_instance", "effective", 1, 8),
        ("other", "billed", 1, None),
    ]


@pytest.mark.parametrize("meter", ["DedicatedUsage:p5.48xlarge", "USE1-UnusedDed:p5.48xlarge"])
def test_a_gpu_instance_on_hardware_of_its_own_is_its_hours_to_aws_too(tmp_path: Path, meter: str) -> None:
    """Class B18. AWS, "Understand codes for Amazon EC2 in billing and usage reports" (read 2026-11-30)."""
    report = {"source": "aws_cur2", "account": ACCOUNT, "settings": {"export": "cur2"}}
    made = project(tmp_path, report, gpu_resources=[NODE])
    lines = [cur2.line(90.0, line_item_resource_id="i-1", line_item_usage_type=meter)]
    cur2.refresh(cur2.FolderPlace(made.folder / "cur2"), [cur2.parquet(lines)], at=NOW - timedelta(days=3))
    answers = built(made, graph=cloud_graph((MART, *GPU_TABLES, *CLOUD_CHECKS)))
    asked = "select charge_kind, realized_cost, gpu_milliseconds / 3600000 as hours from int_gpu_charges_daily"
    assert [tuple(row.values()) for row in answers.rows(asked)] == [("gpu_instance", 90, 8)]
    assert answers.one("select instance_type from int_cloud_gpu_charges_daily") == "p5.48xlarge"
    assert broken_laws(answers, (*GPU_TABLES[2:], *CLOUD_CHECKS)) == []


def test_a_gpu_resource_of_another_issuer_or_time_is_a_cloud_charge(tmp_path: Path) -> None:
    """Class B12: what is not declared is never taken for GPU time."""
    nodes = (NODE | {"issuer": "elsewhere"}, NODE | {"from": "2026-11-03"}, NODE | {"to": "2026-11-02"})
    for number, node in enumerate(nodes):
        graph = cloud_graph((MART, "int_gpu_charges_daily"))
        answers = charged(tmp_path / str(number), GPU_LINES, graph=graph, gpu_resources=[node])
        assert answers.one("select count(*) from int_gpu_charges_daily") == 0
        assert answers.one(f"select sum(billed_cost) from {MART}") == Decimal("618.46")
        assert answers.one(f"select count(*) from {MART} where is_gpu_resource") == 0


def test_two_declarations_of_a_resource_multiply_no_money(tmp_path: Path) -> None:
    """Class B12: a join that fans out."""
    graph = cloud_graph((MART, "int_gpu_charges_daily", *CLOUD_CHECKS))
    answers = charged(
        tmp_path, GPU_LINES, graph=graph, gpu_resources=[NODE | {"to": "2026-11-02"}, NODE | {"from": "2026-11-02"}]
    )
    assert answers.one("select sum(realized_cost) from int_gpu_charges_daily") == Decimal("188.96")
    assert broken_laws(answers) == []


# --- invoices --------------------------------------------------------------------------------------------------------


def test_each_invoice_of_a_cloud_bill_is_listed_with_its_lines_and_no_total(tmp_path: Path) -> None:
    """Class B23: an invoice in two currencies has no sum; charges without an invoice are on none."""
    lines = [
        *(one | {"InvoiceId": "INV-1"} for one in GPU_LINES),
        line(InvoiceId="INV-2", InvoiceIssuerName="Seller"),
        line(InvoiceId="INV-2", InvoiceIssuerName="Seller", BillingCurrency="EUR"),
        line(),
    ]
    rows = gpu_charged(tmp_path, lines).rows("select * from fct_reconciliation_invoice order by invoice_id")
    assert [
        (row["issuer"], row["invoice_id"], row["billing_currency"], row["lines_cost"], row["allocated_cost"])
        for row in rows
    ] == [
        ("Cloudy, Inc.", "INV-1", "USD", Decimal("618.46"), Decimal("118.46")),
        ("Seller", "INV-2", None, None, None),
    ]
    assert {(row["status"], row["payable_cost"]) for row in rows} == {("no_control_total", None)}
    assert {(row["period_start_date"], row["period_end_date"]) for row in rows} == {
        (date(2026, 11, 1), date(2026, 12, 1))
    }


# --- the tables are what they say ------------------------------------------------------------------------------------


def described(name: str) -> dict[str, Any]:
    [path] = models_root().rglob(f"{name}.yml")
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Every mix of a few dimensions, named and not."""
    mixes = itertools.product(("", "INV-1"), ("", "i-1"), ("", "Committed"), ("", "Hours"), ("USD", "EUR"), range(2))
    lines = [
        line(InvoiceId=invoice, ResourceId=resource, PricingCategory=category, ConsumedUnit=unit,
             BillingCurrency=currency, ConsumedQuantity="1", SubAccountId=invoice, RegionId=unit, SkuId=category)
        for invoice, resource, category, unit, currency, _ in mixes
    ]  # fmt: skip
    return charged(
        tmp_path_factory.mktemp("filled"),
        lines,
        graph=cloud_graph((*CLOUD_TABLES, *CLOUD_CHECKS)),
        gpu_resources=[NODE],
    )


@pytest.mark.parametrize("name", CLOUD_TABLES)
def test_a_cloud_table_is_what_it_describes_with_one_row_per_grain(name: str, filled: Answers) -> None:
    """Classes B12, B23: nothing unnamed, nothing untyped, no join multiplies rows."""
    about = described(name)
    assert filled.result.snapshot.nodes[name].columns == tuple(
        (column, said["type"]) for column, said in about["columns"].items()
    )
    rows = filled.rows(f"select * from {name}")
    grains = {tuple(row[column] for column in about["grain"]) for row in rows}
    assert rows
    assert len(grains) == len(rows)
    never_null = set(about["grain"]) - set(about.get("nullable_grain", []))
    assert all(row[column] is not None for row in rows for column in never_null)


def test_nothing_delivered_is_empty_tables_and_no_broken_law(tmp_path: Path) -> None:
    made = project(tmp_path)
    answers = built(made, graph=cloud_graph((*CLOUD_TABLES, *CLOUD_CHECKS)))
    assert [answers.rows(f"select * from {name}") for name in (*CLOUD_TABLES, *CLOUD_CHECKS)] == [[]] * 6


def test_exports_of_two_accounts_that_overlap_are_found_by_the_charges_that_both_have(tmp_path: Path) -> None:
    """B9, B22: an organisation's export beside one of its accounts' own. What only looks alike breaks nothing."""
    own = line(ResourceId="i-1", SubAccountId="a", BilledCost="2.00")
    other = line(ResourceId="i-2", SubAccountId="b", BilledCost="2.00")
    support = line(SubAccountId="a", ServiceName="Support", BilledCost="5.00")

    def laws(folder: str, second: Sequence[Mapping[str, str]], **fields: Any) -> list[str]:
        made = SmallProject(tmp_path / folder, [focus("whole"), focus("part", **fields)])
        made.drop(FOCUS, "whole", "whole.csv", focus_csv([own, other, support]))
        made.drop(FOCUS, "part", "part.csv", focus_csv(second))
        return broken_laws(built(made))

    (said,) = laws("overlap", [own, support])
    assert said.startswith("one_dollar_one_home account:part: 1 charge of billing account 111122223333 from 2026-11-01")
    assert "stand alike in part and in whole: exports that overlap" in said
    # Another resource, another amount, another SKU of it, a line that names none, another billing account, a control:
    # each is its own.
    apart = [
        line(ResourceId="i-3", SubAccountId="a", BilledCost="2.00"),
        line(ResourceId="i-1", SubAccountId="a", BilledCost="2.01"),
        line(ResourceId="i-1", SubAccountId="a", BilledCost="2.00", SkuId="snapshots"),
        # Alike within one export, which tells them apart by their region.
        *(line(ResourceId="i-4", SubAccountId="a", BilledCost="3.00", RegionId=region) for region in ("x", "y")),
        support,
    ]
    assert laws("apart", apart) == []
    assert laws("elsewhere", [{**own, "BillingAccountId": "444455556666"}]) == []
    assert laws("control", [own], role="control") == []
