"""Exports as they lie in a folder: what each is, its exact totals, its tokens at list price, when GPUs would pay."""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.check import bills
from pipeline.check.bill_answer import BillAnswer, Told, bill_answer, document, rows
from pipeline.check.bills import read_bills
from pipeline.cli.checked_bills import WORDS
from pipeline.landing.fetched import Fetched
from pipeline.sources import SOURCES, prepaid_csv, source_named
from tests.models.cloud_harness import FOCUS, MART, built, focus, focus_csv, line
from tests.pipeline.small_project import (
    SmallProject,
    api_page,
    console_csv,
    console_row,
    cost_result,
    invoice_csv,
    spool_file,
    three_days,
    usage_result,
)
from tests.pipeline.test_cloud_models import LINES as MODEL_LINES
from tests.sources import cur2, litellm, test_digitalocean_invoices, test_vast_charges
from tests.sources.openai_admin_api import bucket
from tests.sources.openai_admin_api import page as openai_page

NOW = datetime(2026, 11, 29, 5, tzinfo=UTC)


def checked(
    folder: Path, files: Mapping[str, bytes], *, rate: str | None = None, gpus: int | None = None, currency: str = "USD"
) -> BillAnswer:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    read = read_bills([folder / name for name in files], now=NOW, currency=currency)
    return bill_answer(read, rate=None if rate is None else Decimal(rate), currency=currency, gpu_count=gpus)


def of(answer: BillAnswer, title: str) -> Told:
    (found,) = [one for one in answer.told if one.title == title]
    return found


def amounts(told: Told) -> dict[tuple[str, str], Decimal | None]:
    return {(one.subject, one.line_class): one.amount for one in told.lines}


CELLS = st.tuples(
    st.sampled_from(["2026-10-31", "2026-11-01", "2026-11-02"]),
    st.sampled_from(["Claude Haiku 4.5", "Claude Opus 4.8", "Claude Unheard Of"]),
    st.sampled_from(["output", "input_no_cache", "input_cache_read"]),
    st.decimals("-99", "9999", places=2),
)


@settings(max_examples=2)
@given(cells=st.lists(CELLS, min_size=1, max_size=20), again=st.lists(CELLS, min_size=1, max_size=6))
def test_the_totals_of_a_file_are_the_sums_of_its_own_strings_whatever_lies_beside_it(
    tmp_path_factory, cells, again
) -> None:
    """B9, B12: no row is merged, none is lost, and a second file of the same days replaces nothing."""
    files = {
        name: console_csv(
            [console_row(day, str(cost), model=model, token_type=kind) for day, model, kind, cost in said]
        )
        for name, said in (("one.csv", cells), ("two.csv", again))
    }
    answer = checked(tmp_path_factory.mktemp("exports"), files)
    assert answer.unread == ()
    for name, said in (("one.csv", cells), ("two.csv", again)):
        told = of(answer, name)
        assert told.totals() == {"USD": sum(cost for *_, cost in said)}
        assert told.file is not None
        assert told.file.rows == len(said)
        of_class: dict[str, Decimal] = {}
        for _, _, kind, cost in said:
            of_class[kind] = of_class.get(kind, Decimal(0)) + cost
        ours = {"output": "output", "input_no_cache": "input_uncached", "input_cache_read": "input_cache_read"}
        for kind, total in of_class.items():
            found = [one.amount for one in told.lines if one.line_class == ours[kind]]
            assert sum(amount for amount in found if amount is not None) == total


def test_a_bill_and_its_usage_meet_and_the_tokens_are_re_rated(tmp_path) -> None:
    """B11: 2M output tokens of Haiku 4.5 are $10.00 at list; billed $9.00, they were a dollar off."""
    answer = checked(
        tmp_path,
        {
            "cost.json": api_page({"2026-11-01": [cost_result("900")]}),
            "usage.json": api_page({"2026-11-01": [usage_result(output_tokens=2_000_000)]}),
        },
    )
    cost, usage, both = (of(answer, name) for name in ("cost.json", "usage.json", "All files of anthropic together"))
    assert (cost.totals(), cost.tokens, cost.list_total) == ({"USD": Decimal(9)}, None, None)
    assert (usage.totals(), usage.tokens, usage.list_total) == ({}, 2_000_000, Decimal(10))
    assert (both.totals(), both.tokens, both.difference) == ({"USD": Decimal(9)}, 2_000_000, Decimal(-1))
    (said,) = answer.self_hosting
    assert "2,000,000 tokens, USD 9.00 billed, 2026-11-01" in said
    assert "Days without hours are spread evenly" in said


def test_hours_that_are_known_are_not_spread(tmp_path) -> None:
    """Two million tokens in one hour of a day: a replica must serve 556 a second, or pay for the rest at the API."""
    page = json.loads(api_page({"2026-11-01": [usage_result(output_tokens=2_000_000)]}))
    bucket = page["data"][0] | {"starting_at": "2026-11-01T10:00:00Z", "ending_at": "2026-11-01T11:00:00Z"}
    answer = checked(tmp_path, {"usage.json": json.dumps(page | {"data": [bucket]}).encode()}, rate="0.10", gpus=2)
    (said,) = answer.self_hosting
    assert "at list price" in said
    assert "spread" not in said
    # Two GPUs for a day are $4.80 of the $10.00 that the API would take: 48% of the peak must be served.
    assert "one replica of 2 GPUs sustains at least 267 tokens/s" in said
    assert Fraction(267) >= Fraction(2_000_000, 3600) * Fraction(48, 100) > Fraction(266)


def test_money_without_tokens_says_what_all_of_it_may_cost(tmp_path) -> None:
    answer = checked(tmp_path, {"c.csv": three_days("1.00", "2.00", "3.00")}, rate="2.00")
    (said,) = answer.self_hosting
    # Three of November's thirty days: $6.00 is $60.00 a month.
    assert "cost at most USD 60.00 a month (USD 6.00 billed, 2026-11-01 to 2026-11-03)" in said
    assert "less than one GPU" in said
    assert any("money only" in text for text in answer.unknown)


def test_days_that_no_file_speaks_for_are_no_days_without_cost(tmp_path) -> None:
    """B19: of three weeks two days are here; what they cost is not spread over days that nobody has shown."""
    files = {f"{day}.json": api_page({day: [cost_result("900")]}) for day in ("2026-11-01", "2026-11-21")}
    (said,) = checked(tmp_path, files).self_hosting
    # Two of November's thirty days: $18.00 is $270.00 a month.
    assert "cost at most USD 270.00 a month (USD 18.00 billed, 2026-11-01 to 2026-11-21, 2 days of it" in said


def test_files_of_two_providers_meet_by_provider(tmp_path) -> None:
    """B22: what one provider bills is no part of what another one does."""
    openai = {
        "object": "organization.costs.result",
        "amount": {"value": 5.0, "currency": "usd"},
        "line_item": "gpt-5-mini-2025-08-07, output",
        "project_id": None,
    }
    files = {f"a-{day}.json": api_page({day: [cost_result("900")]}) for day in ("2026-11-01", "2026-11-02")}
    files |= {f"o-{day}.json": openai_page(bucket(day, openai)) for day in ("2026-11-01", "2026-11-02")}
    answer = checked(tmp_path, files)
    assert of(answer, "All files of anthropic together").totals() == {"USD": Decimal(18)}
    assert of(answer, "All files of openai together").totals() == {"USD": Decimal(10)}
    assert ["USD 18.00 billed" in said for said in answer.self_hosting] == [True, False]
    assert ["USD 10.00 billed" in said for said in answer.self_hosting] == [False, True]


def test_a_rate_in_another_currency_is_left_out_and_said(tmp_path) -> None:
    """B23."""
    answer = checked(tmp_path, {"c.csv": three_days("1.00", "2.00", "3.00")}, rate="2.00", currency="EUR")
    assert "Your rate is in EUR and is left out" in answer.self_hosting[0]
    assert "GPU-hour" not in answer.self_hosting[0]


def test_a_page_in_the_midst_of_a_chain_is_totalled_and_says_that_it_is_not_all(tmp_path) -> None:
    """B9: what a project would not count is not passed over in silence."""
    answer = checked(tmp_path, {"p1.json": api_page({"2026-11-01": [cost_result("900")]}, has_more=True)})
    assert of(answer, "p1.json").totals() == {"USD": Decimal(9)}
    assert any("chain that does not end in it" in text for text in answer.unknown)


def test_two_files_of_the_same_days_never_meet(tmp_path) -> None:
    """B9: two organizations, or two copies: neither replaces the other, and they are not added up."""
    page = api_page({"2026-11-01": [cost_result("900")]})
    other = api_page({"2026-11-01": [cost_result("500")]})
    answer = checked(tmp_path, {"a.json": page, "b.json": other})
    assert (of(answer, "a.json").totals(), of(answer, "b.json").totals()) == (
        {"USD": Decimal(9)}, {"USD": Decimal(5)},
    )  # fmt: skip
    assert of(answer, "All files of anthropic together").totals() == {"USD": Decimal(9)}
    assert any("b.json speaks for days that a.json speaks for too" in text for text in answer.unknown)


def test_a_model_without_a_list_price_is_unpriced_and_named(tmp_path) -> None:
    """B4: unpriced, never free."""
    usage = usage_result(output_tokens=7, model="claude-unheard-of")
    answer = checked(tmp_path, {"usage.json": api_page({"2026-11-01": [usage]})})
    told = of(answer, "usage.json")
    assert (told.tokens, told.list_total) == (7, None)
    assert any("claude-unheard-of: unpriced" in text for text in answer.unknown)
    assert "neither billed here nor in the price book" in answer.self_hosting[0]


def test_every_kind_of_export_is_totalled_by_its_own_figures(tmp_path) -> None:
    """B7, B12."""
    lines = [cur2.usage("Usage", 1.5), cur2.usage("Usage", 0.25), cur2.tax(0.5)]
    answer = checked(
        tmp_path,
        {
            "cur.parquet": cur2.parquet(lines),
            "cur.csv.gz": cur2.csv_gz(lines),
            "focus.csv": focus_csv([line(BilledCost="1.25"), line(BilledCost="-0.05", ChargeCategory="Credit")]),
            "focus.csv.gz": gzip.compress(focus_csv([line(BilledCost="7.00", x_team="blue")])),
            "gateway.csv": litellm.export_csv([litellm.row("2026-11-01", "0.25")]),
            "invoice.csv": invoice_csv([("GPU server", "node-1", "72.00"), ("VAT", "", "1.50")]),
            "digitalocean.csv": test_digitalocean_invoices.CSV,
            "vast.json": json.dumps(test_vast_charges.page(test_vast_charges.row())).encode(),
            "host.spool.jsonl": spool_file("2026-11-01"),
            "rates.csv": b"Date,USD,JPY,\n2026-11-02,1.1,160,\n",
        },
        rate="2.69",
    )
    assert answer.unread == ()
    for name in ("cur.parquet", "cur.csv.gz"):
        assert of(answer, name).totals() == {"USD": Decimal("2.25")}
    assert of(answer, "focus.csv").totals() == {"USD": Decimal("1.20")}
    packed = of(answer, "focus.csv.gz")
    assert packed.totals() == {"USD": Decimal(7)}
    assert packed.file is not None
    assert (packed.file.unknown_columns, packed.file.own_accounts) == (("x_team",), ("111122223333",))
    assert {one.measure for one in of(answer, "gateway.csv").lines} == {"rated"}
    assert of(answer, "gateway.csv").totals() == {"USD": Decimal("0.25")}
    assert of(answer, "invoice.csv").totals() == {"USD": Decimal("73.50")}
    assert of(answer, "digitalocean.csv").totals() == {"USD": Decimal("2520.27")}
    assert of(answer, "vast.json").totals() == {"USD": Decimal("9.605")}
    # Six samples of ten minutes each are one GPU-hour.
    (spools,) = [one for one in answer.told if one.title.startswith("All spool files")]
    assert spools.totals() == {"USD": Decimal("2.69")}
    assert any("undefined" in said for said in spools.said)
    assert of(answer, "rates.csv").said == ("2 rates of 2 currencies",)
    assert any("declare, once you have looked at it, settings: {columns: {" in text for text in answer.unknown)
    said = document(answer)
    assert [one["file"] for one in said["files"]] == [one.title for one in answer.told if one.file is not None]
    assert {row["file"] for row in rows(answer)} >= {"cur.parquet", "invoice.csv"}


@pytest.mark.parametrize("written", [cur2.parquet, cur2.csv_gz])
def test_two_refreshes_of_a_month_are_never_one_total_and_the_lines_in_both_are_counted(
    tmp_path, written: Callable[[Sequence[cur2.Line]], bytes]
) -> None:
    """Case 8, B9: 14.0777581906 by the manifest; both files would be 23.4175693298, and have 930 lines in common."""
    hours = [f"2026-10-01T00:00:00Z/2026-10-{1 + number // 24:02d}T{number % 24:02d}:00:00Z" for number in range(700)]
    keys = [(f"line-{number % 2}", hours[number // 2]) for number in range(1000)]

    def chunk(total: str, of: Sequence[tuple[str, str]]) -> bytes:
        rest = Decimal(total) - Decimal("0.001") * (len(of) - 1)
        costs = [float(rest), *([0.001] * (len(of) - 1))]
        return written(
            [
                cur2.line(cost, identity_line_item_id=line_id, identity_time_interval=interval)
                for cost, (line_id, interval) in zip(costs, of, strict=True)
            ]
        )

    files = {"chunk-1": chunk("14.0777581906", keys), "chunk-2": chunk("9.3398111392", keys[:930])}
    answer = checked(tmp_path, files)
    assert [of(answer, name).totals() for name in files] == [
        {"USD": Decimal("14.0777581906")},
        {"USD": Decimal("9.3398111392")},
    ]
    assert Decimal("14.0777581906") + Decimal("9.3398111392") == Decimal("23.4175693298")
    (said,) = [text for text in answer.unknown if "one key in both" in text]
    assert said.startswith("chunk-1 and chunk-2 are both of 2026-10, and 930 lines have")
    apart = checked(tmp_path, {"chunk-1": chunk("14", keys[:70]), "chunk-2": chunk("9", keys[70:])})
    assert not [text for text in apart.unknown if "one key in both" in text]


@pytest.mark.parametrize(
    ("invoice", "total"),
    [
        ("Invoice No,Description,Amount,Currency,Date\nA,8x H100,1234.56,USD,2026-10-05\nA,VAT,10,USD,2026-10-05\n"
         "A,Total,1244.56,USD,2026-10-31\n", "1244.56"),
        ("Invoice No;Description;Amount;Currency;Date\nA;8x H100;0.345;USD;2026-10-05\n", "0.345"),
        ("Invoice No;Description;Amount;Currency;Date\nA;8x H100;1234.56;USD;2026-10-05\n", "1234.56"),
        ("Invoice No;Description;Amount;Currency;Date\nA;8x H100;1.234,56;USD;05.10.2026\n", "1234.56"),
    ],
)  # fmt: skip
def test_a_total_is_no_line_and_a_semicolon_makes_no_comma(tmp_path, invoice: str, total: str) -> None:
    answer = checked(tmp_path, {"invoice.csv": invoice.encode()})
    assert of(answer, "invoice.csv").totals() == {"USD": Decimal(total)}


def test_a_file_s_total_is_what_a_project_counts_of_it(tmp_path) -> None:
    """B22: one reader, one truth; parts of a period and a tax line too."""
    content = focus_csv(
        [
            line(BilledCost="1.25"),
            line(BilledCost="0.000000000000000001", ChargeCategory="Tax"),
            line(BilledCost="-0.05", ChargeCategory="Credit", ChargePeriodStart="2026-11-09T00:00:00Z"),
        ]
    )
    project = SmallProject(tmp_path / "project", [focus()])
    project.drop(FOCUS, "cloudy", "november.csv", content)
    counted = built(project).one(f"select sum(billed_cost) from {MART} where is_book")
    assert of(checked(tmp_path, {"november.csv": content}), "november.csv").totals() == {"USD": counted}


def test_an_export_without_a_row_is_read_and_says_nothing(tmp_path) -> None:
    """Nothing is known of what it would have said; it is no cost of 0."""
    answer = checked(tmp_path, {"none.csv": console_csv([])})
    assert answer.unread == ()
    assert of(answer, "none.csv").totals() == {}
    assert any("no row of its own" in said for said in answer.unknown)


def test_what_is_no_whole_export_says_why_and_stops_no_other(tmp_path) -> None:
    """B9: cut, hostile, none of ours; each with its reason."""
    good = three_days("1.00", "2.00", "3.00")
    parquet = cur2.parquet([cur2.usage("Usage", 1.5)])
    files = {
        "good.csv": good,
        "cut.csv": good[:-2],
        "cut.json": api_page({"2026-11-01": [cost_result("900")]})[:-20],
        "cut.parquet": parquet[:-40],
        "cut.csv.gz": cur2.csv_gz([cur2.usage("Usage", 1.5)])[:-9],
        "empty.csv": b"",
        "holiday.png": b"\x89PNG\r\n",
        "plain.txt": b"hello there\n",
        "table.csv": b"a,b\n1,2\n",
        "invoice.csv": b"Server,Amount\nnode-1,72.00\n",
        "deep.json": b"[" * 100_000,
        "scrape.prom": b'vllm:prompt_tokens_total{model_name="x"} 1\n',
        "late.json": api_page({"9999-12-30": [cost_result("900")]}),
        "money.csv": console_csv([console_row("2026-11-01", "1e400")]),
    }
    answer = checked(tmp_path, files)
    assert of(answer, "good.csv").totals() == {"USD": Decimal(6)}
    assert {file.name for file in answer.unread} == set(files) - {"good.csv"}
    assert all(file.problem for file in answer.unread)
    problems = {file.name: str(file.problem) for file in answer.unread}
    assert "line end" in problems["cut.csv"]
    assert "which no bill does" in problems["late.json"]
    assert "Not complete JSON" in problems["cut.json"]
    assert "map at least amount" in problems["invoice.csv"]
    assert "scrape of vLLM" in problems["scrape.prom"]


def test_usage_without_cost_is_told_in_hours(tmp_path: Path) -> None:
    """B4: no cost is no zero. The hours are said, and no money."""
    header = "ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,SkuId"
    hour = "2026-11-02T05:00:00Z,2026-11-02T06:00:00Z,16.5,GPU Hours,h100"
    answer = checked(tmp_path, {"usage.csv": f"{header}\n{hour}\n".encode()})
    told = of(answer, "usage.csv")
    assert told.said == ("h100: 16.50 hours of GPUs, 2026-11-02 to 2026-11-02, without a cost",)
    assert told.totals() == {}


def test_hours_of_which_a_days_cannot_be_are_unknown_and_not_0(tmp_path: Path) -> None:
    header = "ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,SkuId"
    used = ((2, 5, 4), (3, 5, 9_000_000), (3, 6, 9_000_000))
    days = [
        f"2026-11-0{day}T0{hour}:00:00Z,2026-11-0{day}T0{hour + 1}:00:00Z,{said},GPU Hours,h100"
        for day, hour, said in used
    ]
    answer = checked(tmp_path, {"usage.csv": "".join(f"{row}\n" for row in (header, *days)).encode()})
    assert of(answer, "usage.csv").said == ("h100: unknown hours of GPUs, 2026-11-02 to 2026-11-03, without a cost",)


def test_every_source_of_files_has_a_question_and_a_name() -> None:
    """A new source that `check` would recognise and say nothing of is noticed here."""
    answered = {source for sources, _ in bills.QUESTIONS.values() for source in sources}
    # What a file of a declared bill is, only breakeven.yaml says; a balance is asked for.
    of_files = {source.name for source in SOURCES} - {"owned_gpus", "prometheus", "api_bill_csv", "prepaid_balance"}
    assert of_files <= answered
    assert of_files <= set(WORDS)


def test_a_file_that_is_not_there_is_one_of_the_unread(tmp_path) -> None:
    read = read_bills([tmp_path / "gone.csv", tmp_path], now=NOW)
    assert [file.problem for file in read.files] == [
        "cannot be opened: No such file or directory",
        "cannot be opened: Is a directory",
    ]


def test_a_file_that_no_reader_foresaw_is_one_of_the_unread(tmp_path, monkeypatch) -> None:
    """B12: and the file beside it is totalled."""

    def drop(*_: object) -> Fetched:
        raise ValueError("nobody thought of this")

    spoilt = replace(prepaid_csv.SOURCE, drop=drop)
    monkeypatch.setattr(bills, "source_named", lambda name: spoilt if name == "prepaid_csv" else source_named(name))
    answer = checked(
        tmp_path,
        {"p.csv": b"date,entry,amount,currency\n2026-11-01,balance,1,USD\n", "c.csv": three_days("1", "2", "3")},
    )
    assert [(file.name, file.problem) for file in answer.unread] == [
        ("p.csv", "it holds what its reader cannot take (ValueError: nobody thought of this)")
    ]
    assert len(answer.told) == 1


def test_days_after_now_are_counted_all_the_same(tmp_path) -> None:
    """A clock that is wrong loses no row."""
    (tmp_path / "c.csv").write_bytes(three_days("1.00", "2.00", "3.00"))
    read = read_bills([tmp_path / "c.csv"], now=datetime(2020, 1, 1, tzinfo=UTC))
    (told,) = bill_answer(read, rate=None, currency="USD", gpu_count=None).told
    assert told.totals() == {"USD": Decimal(6)}
    assert told.file is not None
    assert (told.file.from_date, told.file.last_date) == (date(2026, 11, 1), date(2026, 11, 3))


def test_what_a_cloud_bills_for_models_is_told_by_model_and_the_rest_by_service(tmp_path: Path) -> None:
    answer = checked(tmp_path, {"november.csv": focus_csv(MODEL_LINES)})
    told = of(answer, "november.csv")
    assert told.totals() == {"USD": Decimal("59.00")}
    lines = {(one.subject, one.line_class): (one.amount, one.tokens) for one in told.lines}
    assert lines["Claude Opus 5", "input_uncached, regional"] == (Decimal("11.00"), 2_000_000)
    assert lines["Nova2.0Lite", "output, flex, regional"] == (Decimal("3.00"), 2_000_000)
    assert lines["USE1-Guardrail-TextUnitContentPolicy", "not tokens"] == (Decimal("0.25"), None)
    assert lines["Amazon Elastic Compute Cloud", "Usage"] == (Decimal("40.00"), None)
    assert lines["AmazonBedrock", "Credit"] == (Decimal("-1.25"), None)
    assert ("AmazonBedrock", "Usage") not in lines
