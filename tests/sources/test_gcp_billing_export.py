"""Google Cloud's billing export: three spellings of one table, credits as charges, months of Pacific time."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, QuarantineError
from pipeline.sources.focus_shape import CHARGES
from pipeline.sources.gcp_billing_export import SOURCE, parse, recognise
from tests.models.cloud_harness import MART, broken_laws, built, cloud_graph
from tests.pipeline.small_project import SmallProject, source
from tests.sources.gcp import ACCOUNT, BILLING_ACCOUNT, NAME, NODE, ROW, credit, flat_csv, json_lines, parquet, row

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)
WHOLE = {"files": "whole"}
LAWS_OF_TIME = ("check_gpu_hours_are_known", "check_gpu_time_conserved", "check_gpu_money_conserved")
SPELLINGS: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], bytes]] = {
    "json": json_lines,
    "json.gz": lambda rows: gzip.compress(json_lines(rows)),
    "csv": flat_csv,
    "csv_": lambda rows: flat_csv(rows, dot="_"),
    "parquet": parquet,
}


def parsed(content: bytes, said: Mapping[str, Any] = WHOLE) -> pl.DataFrame:
    return parse(content, said)[CHARGES.name]


def refused(content: bytes, said: Mapping[str, Any] = WHOLE) -> str:
    with pytest.raises(QuarantineError) as caught:
        parse(content, said)
    return str(caught.value)


def project(folder: Path, *, files: str = "whole", **sections: Any) -> SmallProject:
    return SmallProject(folder, [source(NAME, ACCOUNT, settings={"files": files})], sections)


doubles = st.floats(-(10**6), 10**6, allow_nan=False, allow_subnormal=False)
rows_said = st.lists(
    st.tuples(
        doubles,
        st.lists(doubles, max_size=2),
        st.sampled_from(["202610", "202611"]),
        st.sampled_from(["regular", "tax", "adjustment", "rounding_error"]),
    ),
    min_size=1,
    max_size=4,
)


@given(said=rows_said)
@settings(max_examples=10, deadline=None)
def test_cost_and_credits_of_every_spelling_sum_to_the_invoice_months(
    said: Sequence[tuple[float, list[float], str, str]],
) -> None:
    """B7, B12, B20: whole numbers of 10^-18, over every cost_type; nothing is netted into usage."""
    rows = [
        row(cost, month=month, cost_type=kind, credits=[credit(amount) for amount in amounts])
        for cost, amounts, month, kind in said
    ]
    expected: dict[str, Decimal] = {}
    for cost, amounts, month, _ in said:
        for amount in (cost, *amounts):
            exact = Decimal(repr(amount)).quantize(Decimal("1e-18"))
            expected[month] = expected.get(month, Decimal(0)) + exact
    for spelled in SPELLINGS.values():
        frame = parsed(spelled(rows))
        assert dict(frame.schema) == CHARGES.schema
        sums = frame.group_by("bucket").agg(pl.col("billed_cost").sum()).rows()
        assert {bucket.split("|")[2][:7].replace("-", ""): cost for bucket, cost in sums} == expected
        assert (frame["charge_category"] == "Credit").sum() == sum(len(amounts) for _, amounts, _, _ in said)


@pytest.mark.parametrize("spelled", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_says_the_same_charge(spelled: Callable[[Sequence[Mapping[str, Any]]], bytes]) -> None:
    rows = [row(credits=[credit(-1.5)]), row(0.1, seller_name="Anthropic", cost_type="tax")]
    rows[0]["seller_name"] = None
    frame = parsed(spelled(rows))
    assert frame.select(
        "billed_cost", "charge_category", "resource_id", "sub_account_id", "service_name", "sku_meter", "region_id",
        "availability_zone", "consumed_quantity", "consumed_unit", "pricing_quantity", "list_cost",
        "service_provider_name", "billing_currency", "charge_description",
    ).rows() == [
        (Decimal("80.5"), "Usage", NODE, "acme-serving", "Compute Engine", ROW["sku"]["description"], "us-east5",
         "us-east5-a", 28800, "seconds", 8, 88, "Google Cloud", "AUD", None),
        (Decimal("0.1"), "Tax", NODE, "acme-serving", "Compute Engine", ROW["sku"]["description"], "us-east5",
         "us-east5-a", None, None, None, None, "Anthropic", "AUD", None),
        (Decimal("-1.5"), "Credit", NODE, "acme-serving", "Compute Engine", ROW["sku"]["description"], "us-east5",
         "us-east5-a", None, None, None, None, "Google Cloud", "AUD", "Committed use discount"),
    ]  # fmt: skip
    assert "currency_conversion_rate" in frame["other_columns"][0]
    assert frame["billing_period_start"].unique().to_list() == [datetime(2026, 11, 1, 7)]  # noqa: DTZ001


def test_a_month_is_pacific_s_and_what_came_late_is_on_the_next_invoice() -> None:
    """B8: 06:30 UTC of 1 April is March there; the column goes before the clock. Case 21."""
    late = {"usage_start_time": "2026-04-01 06:30:00 UTC", "usage_end_time": "2026-04-01 07:30:00 UTC"}
    said = [{name: value for name, value in row(**late).items() if name != "invoice"}]
    assert parsed(json_lines(said))["bucket"].to_list() == [f"Google|{BILLING_ACCOUNT}|2026-03-01"]
    assert parsed(json_lines([row(month="202605", **late)]))["bucket"].to_list() == [
        f"Google|{BILLING_ACCOUNT}|2026-05-01"
    ]
    starts = [parsed(json_lines([row(month=month)]))["billing_period_start"][0] for month in ("202603", "202604")]
    assert starts[1] - starts[0] == timedelta(hours=743)
    starts = [parsed(json_lines([row(month=month)]))["billing_period_start"][0] for month in ("202611", "202612")]
    assert starts[1] - starts[0] == timedelta(hours=721)


def test_what_a_commitment_took_off_cost_something_that_the_export_does_not_say() -> None:
    """B20: the fee stands on no resource. Under the newer model what is billed is what it cost."""
    older = parsed(json_lines([row(10.0, credits=[credit(-10.0, "COMMITTED_USAGE_DISCOUNT")])]))
    assert older["effective_cost"].to_list() == [None, None]
    assert older["pricing_category"].to_list() == ["Committed", "Committed"]
    assert older["commitment_discount_status"].to_list() == [None, "Used"]
    newer = parsed(json_lines([row(50.0, credits=[credit(-42.0, "FEE_UTILIZATION_OFFSET")])]))
    assert newer["effective_cost"].sum() == newer["billed_cost"].sum() == 8


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json_lines([row(), row()])[:-30], "line 2: not a JSON object"),
        (flat_csv([row(), row()])[:-30], "row 3"),
        (gzip.compress(json_lines([row()]))[:-20], "Not a readable gzip"),
        (json_lines([row(), row("")]), "line 2: no cost"),
        (json_lines([row(currency=None)]), "line 1: no currency"),
        (flat_csv([row(), row("")]), "row 3: no cost"),
        (json_lines([row(month="2026-11")]), "invoice.month is '2026-11'"),
        (json_lines([row(credits=[{"name": "gift"}])]), "line 1: a credit without an amount"),
        (json_lines([row(cost="ten")]), "cost is 'ten'"),
        (json_lines([{**row(), "service": None}]).replace(b'"service"', b'"serves"'), "no column service.description"),
    ],
)
def test_an_extract_that_is_cut_or_leaves_out_what_a_charge_needs_is_refused(content: bytes, words: str) -> None:
    assert words in refused(content)


def test_it_has_to_be_said_what_a_file_is_all_of() -> None:
    """B9: an extract of what came since would replace the month it is a part of."""
    assert SOURCE.check is not None
    with pytest.raises(ConfigError, match=r"settings\.files"):
        SOURCE.check({}, ())
    assert "whole or parts" in refused(json_lines([row()]), {})


def test_a_whole_month_replaces_itself_and_parts_add_up(tmp_path: Path) -> None:
    """B9, B10: a correction in a later part takes its row back; a part that comes again counts once."""
    asked = f"select sum(billed_cost) as cost, sum(line_count) as lines from {MART}"
    made = project(tmp_path / "whole")
    made.drop(NAME, ACCOUNT, "november.json", json_lines([row(10), row(1, month="202610")]))
    built(made, now=NOW)
    made.drop(NAME, ACCOUNT, "november-again.json", json_lines([row(10), row(5)]))
    answers = built(made, now=NOW + timedelta(hours=1))
    assert answers.rows(asked) == [{"cost": Decimal(16), "lines": 3}]
    assert broken_laws(answers) == []
    made = project(tmp_path / "parts", files="parts")
    made.drop(NAME, ACCOUNT, "export-1.json", json_lines([row(10)]))
    taken_back = row(-10, adjustment_info={"id": "a-1", "mode": "COMPLETE_NEGATION"})
    made.drop(NAME, ACCOUNT, "export-2.json", json_lines([taken_back, row(8)]))
    built(made, now=NOW)
    made.drop(NAME, ACCOUNT, "export-2.json.gz", gzip.compress(json_lines([taken_back, row(8)])))
    answers = built(made, now=NOW + timedelta(hours=1))
    assert answers.rows(asked) == [{"cost": Decimal(8), "lines": 3}]
    classes = answers.rows(f"select charge_class, billed_cost from {MART} order by 2")
    assert [tuple(one.values()) for one in classes] == [("Correction", -10), (None, 18)]


def test_a_gpu_server_s_time_is_that_of_its_gpus_and_its_cost_all_of_its_parts(tmp_path: Path) -> None:
    """B18: GPUs, cores and memory are three rows in seconds, of which the GPUs say the time; every law holds."""
    node = {"issuer": ACCOUNT, "resource_id": NODE, "host": "a3-1", "gpu_count": 8, "from": "2026-01-01"}
    made = project(tmp_path, gpu_resources=[node])
    parts = [
        row(80, credits=[credit(-8)]),
        row(6, sku={"id": "2", "description": "A3 Instance Core running in Americas"},
            usage={"amount": 748800.0, "unit": "seconds", "amount_in_pricing_units": 208.0, "pricing_unit": "hour"}),
        row(4, sku={"id": "3", "description": "A3 Instance Ram running in Americas"},
            usage={"amount": 7.2e15, "unit": "byte-seconds", "amount_in_pricing_units": 1.0, "pricing_unit": "x"}),
    ]  # fmt: skip
    made.drop(NAME, ACCOUNT, "november.json", json_lines(parts))
    answers = built(made, now=NOW, graph=cloud_graph(["int_gpu_charges_daily", *LAWS_OF_TIME]))
    assert broken_laws(answers, LAWS_OF_TIME) == []
    asked = """
    select usage_date, sum(gpu_milliseconds) as ms, sum(realized_cost) as cost, bool_and(is_gpu_charge) as is_gpu
    from int_gpu_charges_daily group by 1
    """
    assert [tuple(one.values()) for one in answers.rows(asked)] == [
        (date(2026, 11, 2), 8 * 3_600_000, Decimal(80 - 8 + 6 + 4), True)
    ]


def test_a_gpu_that_a_commitment_covered_has_its_hours_and_no_cost_that_anybody_knows(tmp_path: Path) -> None:
    """B20: 80 on demand less 55 is 25 on the invoice, and neither is what the GPUs cost: the fee is elsewhere."""
    node = {"issuer": ACCOUNT, "resource_id": NODE, "host": "a3-1", "gpu_count": 8, "from": "2026-01-01"}
    made = project(tmp_path, gpu_resources=[node])
    lines = [
        row(80, credits=[credit(-55, "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE")]),
        row(6, sku={"id": "2", "description": "A3 Instance Core running in Americas"}),
    ]
    made.drop(NAME, ACCOUNT, "november.json", json_lines(lines))
    laws = [*LAWS_OF_TIME, "check_gpu_money_conserved", "check_owner_money_conserved"]
    answers = built(made, now=NOW, graph=cloud_graph(["fct_gpu_costs_daily", "fct_owner_costs_daily", MART, *laws]))
    assert broken_laws(answers, laws) == []
    asked = """
    select cost_measure, sum(gpu_milliseconds) / 3600000 as hours, sum(realized_cost) as cost
    from fct_gpu_costs_daily where usage_date = '2026-11-02' group by 1 order by 1
    """
    assert [tuple(one.values()) for one in answers.rows(asked)] == [("billed", 8, 6), ("effective", 0, None)]
    assert answers.one(f"select sum(billed_cost) from {MART}") == 25 + 6


def test_it_is_known_by_its_first_line_or_header() -> None:
    for spelled in (json_lines, flat_csv, lambda rows: flat_csv(rows, dot="_")):
        content = spelled([row()])
        assert recognise("x", content) == recognise("x", gzip.compress(content)) == "cost_and_usage"
    assert recognise("x", b'{"data": []}') is None
    assert recognise("x", b"day,cost\n") is None


@pytest.mark.parametrize(
    ("labels", "tags"),
    [
        ([{"key": "host", "value": "a3-1"}, {"key": "team", "value": "search"}], '{"host":"a3-1","team":"search"}'),
        ([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}], '[{"key":"a","value":"1"},{"key":"a","value":"2"}]'),
        (["odd"], '["odd"]'),
        ([], "{}"),
    ],
)
def test_labels_are_tags_as_focus_has_them(labels: list[Any], tags: str) -> None:
    """By a tag a host is joined to what bills it: of a list of pairs no tag would be found."""
    rows = [row(labels=labels)]
    for content in (json_lines(rows), flat_csv(rows)):
        (said,) = parse(content, {"files": "whole"})[CHARGES.name]["tags"]
        assert said.replace(": ", ":").replace(", ", ",") == tags
