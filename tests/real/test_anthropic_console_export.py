"""A genuine cost export of the Anthropic Console (CC BY 4.0, mdsweatt/managing-intelligence-experiments)."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import QuarantineError
from pipeline.sources.anthropic_console_csv import SOURCE
from pipeline.sources.anthropic_cost_api import SOURCE as COST_API

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "api_billing" / "anthropic"
NAME = "claude_api_cost_2026_06_18_to_2026_07_05.csv"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared/data/api_billing/anthropic is not here")


@pytest.fixture(scope="module")
def content() -> bytes:
    return (FOLDER / NAME).read_bytes()


@pytest.fixture(scope="module")
def costs(content: bytes) -> pl.DataFrame:
    dropped = SOURCE.drop(NAME, content, {})
    return SOURCE.datasets[0].parse(content, dropped.settings)["costs"]


def test_all_62_rows_are_kept_and_sum_to_190_34(costs: pl.DataFrame) -> None:
    """Class B7: exact, as text."""
    assert costs.height == 62
    assert sum(map(Decimal, costs["cost_usd"])) == Decimal("190.34")
    assert costs["cost_usd"].to_list() == costs["list_price_usd"].to_list()
    assert costs["other_columns"].null_count() == 62


def test_both_pairs_of_rows_with_equal_dimensions_are_alive(costs: pl.DataFrame) -> None:
    """Class B9: deduplication on dimensions loses between 25.72 and 56.03 of 190.34."""
    dimensions = [name for name in costs.columns if name not in ("cost_usd", "list_price_usd")]
    pairs = costs.filter(pl.struct(dimensions).is_duplicated())
    assert pairs.select("bucket", "model", "token_type", "cost_usd").rows() == [
        ("2026-06-24", "Claude Opus 4.8", "input_no_cache", "9.22"),
        ("2026-06-24", "Claude Opus 4.8", "input_no_cache", "11.63"),
        ("2026-06-24", "Claude Opus 4.8", "output", "16.50"),
        ("2026-06-24", "Claude Opus 4.8", "output", "44.40"),
    ]


def test_the_file_is_recognised_and_its_name_gives_its_range(content: bytes) -> None:
    assert SOURCE.recognise("download.csv", content[:200]) == "console_cost"
    dropped = SOURCE.drop(NAME, content, {})
    assert (dropped.from_at, dropped.to_at) == (datetime(2026, 6, 18, tzinfo=UTC), datetime(2026, 7, 6, tzinfo=UTC))


def test_days_without_a_row_stay_absent(costs: pl.DataFrame) -> None:
    days = set(costs["usage_date"].to_list())
    assert len(days) == 10
    assert date(2026, 6, 23) not in days


def test_the_file_cut_at_any_byte_is_refused_unless_whole_rows_remain(content: bytes) -> None:
    """A cut between two rows cannot be seen in the file; everything else is refused."""
    read = {}
    for length in range(len(content)):
        try:
            read[length] = SOURCE.datasets[0].parse(content[:length], {})["costs"].height
        except QuarantineError:
            continue
    ends = {at + offset for at in range(len(content)) if content[at : at + 2] == b"\r\n" for offset in (1, 2)}
    assert set(read) == {length for length in ends if length < len(content)}


def test_the_file_under_another_months_name_is_refused(content: bytes) -> None:
    dropped = SOURCE.drop("claude_api_cost_2026_07_01_to_2026_07_31.csv", content, {})
    with pytest.raises(QuarantineError, match="row 2: dated 2026-06-18, outside the window 2026-07-01 to 2026-07-31"):
        SOURCE.datasets[0].parse(content, dropped.settings)


def test_a_hand_made_page_of_the_cost_report_reads_exactly() -> None:
    """Cents: 15.7378 + 217.763875 + 221.04954 + 1691.3875 + 5."""
    content = (FOLDER / "cost_report_page_handmade.json").read_bytes()
    assert COST_API.recognise("page.json", content) == "cost_report"
    dropped = COST_API.drop("page.json", content, {})
    assert dropped.complete
    costs = COST_API.datasets[0].parse(content, dropped.settings)["costs"]
    assert costs.height == 5
    assert sum(map(Decimal, costs["amount"])) == Decimal("2150.938715")
    assert costs["other_columns"].null_count() == 5
