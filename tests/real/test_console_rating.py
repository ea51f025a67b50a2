"""A genuine Console export through the whole pipeline, and beside it the tokens of the same account's own records."""

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.small_project import CONSOLE, USAGE_API, Answers, Rows, SmallProject, api_page, source, usage_result

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "api_billing" / "anthropic"
EXPORT = "claude_api_cost_2026_06_18_to_2026_07_05.csv"
RECORDS = "messages_usage_by_day_derived_from_records.csv"
NOW = datetime(2026, 7, 10, 6, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"needs the folder {FOLDER}")

# The records are one experiment's. On these days the key was used for nothing else, but for Opus on 28 June: there the
# bill is 8.90 and the records come to 1.97.
COMPARABLE_DAYS = (date(2026, 6, 21), date(2026, 6, 28))
USED_BESIDES = (date(2026, 6, 28), "claude-opus-4-8")


def usage_page() -> bytes:
    """The records as the usage report would have said them, under an id of the key, as it does."""
    with (FOLDER / RECORDS).open(newline="") as file:
        records = sorted(csv.DictReader(file), key=lambda record: record["usage_date_utc"])
    days = groupby(records, key=lambda record: record["usage_date_utc"])
    return api_page({day: _results(list(of_day)) for day, of_day in days})


def _results(records: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    named = sorted({(record["model"], record["service_tier"], record["inference_geo"]) for record in records})
    return [
        usage_result(
            api_key_id="apikey_recorded",
            model=model,
            service_tier=tier,
            inference_geo=geo,
            uncached_input_tokens=total("input_tokens", same),
            cache_read_input_tokens=total("cache_read_input_tokens", same),
            cache_creation={
                "ephemeral_5m_input_tokens": total("ephemeral_5m_input_tokens", same),
                "ephemeral_1h_input_tokens": total("ephemeral_1h_input_tokens", same),
            },
            output_tokens=total("output_tokens", same),
        )
        for model, tier, geo in named
        for same in [[r for r in records if (r["model"], r["service_tier"], r["inference_geo"]) == (model, tier, geo)]]
    ]


def total(column: str, records: Sequence[dict[str, str]]) -> int:
    return sum(int(record[column]) for record in records)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Both files, dropped; landed and built once."""
    made = SmallProject(tmp_path_factory.mktemp("console"), [source(CONSOLE, "lab"), source(USAGE_API, "lab")])
    made.drop(CONSOLE, "lab", EXPORT, (FOLDER / EXPORT).read_bytes())
    made.drop(USAGE_API, "lab", "usage-20260706T060000Z.json", usage_page())
    return made.run(now=NOW)


@pytest.fixture(scope="module")
def variances(built: Answers) -> Rows:
    return built.ask("rating_variance", from_date=date(2026, 6, 1), to_date=date(2026, 8, 1)).to_dicts()


@pytest.fixture(scope="module")
def comparable(variances: Rows) -> Rows:
    """Cells whose bill the records should explain."""
    return [
        row
        for row in variances
        if row["usage_date"] in COMPARABLE_DAYS and row["tokens"] and (row["usage_date"], row["model"]) != USED_BESIDES
    ]


def test_the_whole_export_is_in_the_marts_to_the_cent(built: Answers) -> None:
    """B7, B12: 62 rows, 190.34, through staging, allocation and reporting currency, whatever the meter adds."""
    assert built.one("select sum(line_count) from stg_anthropic_console_csv__costs_daily") == 62
    assert built.one("select sum(billed_cost) from fct_api_costs_daily") == Decimal("190.34")
    assert built.one("select sum(billed_cost_rc) from fct_api_costs_daily") == Decimal("190.34")


def test_both_pairs_of_rows_with_equal_dimensions_are_in_the_marts_sums(built: Answers) -> None:
    """B9: 9.22 + 11.63 and 16.50 + 44.40."""
    assert built.rows(
        "select token_class, sum(billed_cost) as billed from fct_api_costs_daily "
        "where usage_date = '2026-06-24' and model = 'claude-opus-4-8' and billed_cost is not null "
        "and token_class in ('input_uncached', 'output') "
        "group by 1 order by 1"
    ) == [
        {"token_class": "input_uncached", "billed": Decimal("20.85")},
        {"token_class": "output", "billed": Decimal("60.90")},
    ]


def test_tokens_at_list_price_reproduce_13_of_the_14_comparable_cells(comparable: Rows) -> None:
    """B1, B3, B5: disjoint classes, each at the price our own price table gives it, rounded half-up to the cent."""
    assert len(comparable) == 14
    cent = Decimal("0.01")
    agreeing = [row for row in comparable if row["rated_cost"].quantize(cent, ROUND_HALF_UP) == row["billed_cost"]]
    assert len(agreeing) == 13
    assert {row["status"] for row in agreeing} == {"agrees"}


def test_the_fourteenth_cell_is_shown_as_a_variance(comparable: Rows) -> None:
    """B21: 799 tokens at 5.00 a million are 0.003995, which no rounding makes 0.01."""
    (variance,) = [row for row in comparable if row["status"] != "agrees"]
    assert (variance["usage_date"], variance["model"], variance["token_class"]) == (
        date(2026, 6, 21),
        "claude-haiku-4-5",
        "output",
    )
    assert (variance["tokens"], variance["billed_cost"]) == (799, Decimal("0.01"))
    assert variance["rated_cost"] == Decimal("0.003995")
    assert variance["difference_cost"] == Decimal("0.006005")
    assert (variance["billed_at_least_cost"], variance["billed_at_most_cost"]) == (Decimal("0.005"), Decimal("0.02"))
    assert variance["status"] == "differs"


def test_a_bill_that_the_records_do_not_explain_is_the_largest_variance_of_those_days(variances: Rows) -> None:
    """B21: Opus on 28 June, 6.62 billed for 0.25 recorded."""
    largest = next(row for row in variances if row["usage_date"] in COMPARABLE_DAYS)
    assert ((largest["usage_date"], largest["model"]), largest["token_class"]) == (USED_BESIDES, "input_uncached")
    assert (largest["tokens"], largest["billed_cost"]) == (50_739, Decimal("6.62"))
    assert (largest["rated_cost"], largest["difference_cost"]) == (Decimal("0.253695"), Decimal("6.366305"))
    assert largest["status"] == "differs"


def test_days_of_which_nothing_was_metered_are_not_compared(variances: Rows) -> None:
    """No tokens is no rating of 0."""
    assert {row["usage_date"] for row in variances} == {
        date(2026, 6, 21),
        date(2026, 6, 24),
        date(2026, 6, 28),
        date(2026, 7, 2),
    }
    assert all(row["rated_cost"] is None for row in variances if row["tokens"] is None)


def test_the_meter_adds_no_cent_to_the_bill_and_the_rating_none_to_either(built: Answers) -> None:
    """B22: billed, rated and metered never add."""
    (told,) = built.rows(
        "select attribution, sum(billed_cost) as billed, sum(tokens) as tokens from fct_api_costs_daily group by 1"
    )
    with (FOLDER / RECORDS).open(newline="") as file:
        recorded = list(csv.DictReader(file))
    counts = (name for name in recorded[0] if name.endswith("_tokens"))
    assert told == {
        "attribution": "direct",
        "billed": Decimal("190.34"),
        "tokens": sum(total(name, recorded) for name in counts),
    }
    for law in ("check_api_money_conserved", "check_api_tokens_conserved"):
        assert built.rows(f"select * from {law}") == []


def test_a_million_tokens_of_a_bill_by_label_cost_what_both_sides_say(built: Answers) -> None:
    """B12, B30: the bill names the key "Tokenomics", the meter by an id; 0.91 for 36,340 tokens is 25.04 a million."""
    prices = built.rows(
        "select token_class, tokens, full_cost_rc, round(full_rc_per_mtok, 4) as price from fct_unit_costs_daily "
        "where usage_date = '2026-06-21' and model = 'claude-opus-4-8' and token_class != 'blended' order by 1"
    )
    assert [(row["token_class"], row["tokens"], row["full_cost_rc"], row["price"]) for row in prices] == [
        ("input_cache_read", 71_280, Decimal("0.04"), 0.5612),
        ("input_cache_write_5m", 14_256, Decimal("0.09"), 6.3131),
        ("input_uncached", 349_956, Decimal("1.75"), 5.0006),
        ("output", 36_340, Decimal("0.91"), 25.0413),
    ]
