"""OpenAI's bills and meters from landed rows to fct_api_costs_daily: cells that match, and the rest left as it is."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import config_frames
from pipeline.build.config_tables.versions import Version
from pipeline.config.whole import Config
from pipeline.sources import SOURCES
from tests.models.api_harness import (
    API_CHECKS,
    Row,
    Rows,
    broken,
    broken_laws,
    build_tables,
    covered,
    days_until,
    rows_of,
    utc,
)
from tests.models.openai_rows import (
    COMPLETIONS,
    COSTS,
    CSV_COMPLETIONS,
    CSV_COSTS,
    charge,
    of_project,
    openai_sources,
    usage_view,
    used,
)

DAY = date(2026, 11, 3)
MART = "fct_api_costs_daily"
LINES = "stg_openai__line_items_daily"
USAGE = "stg_openai__usage_hourly"


def mart(cache: Path, **tables: Sequence[Row]) -> Rows:
    """fct_api_costs_daily over landed rows, with every API law holding."""
    built = build_tables(cache, {"config_sources": openai_sources(), **tables}, [MART, *API_CHECKS])
    assert broken_laws(built) == []
    return rows_of(built, MART)


def billed(rows: Rows) -> Decimal:
    return sum((row["billed_cost"] for row in rows if row["billed_cost"] is not None), Decimal(0))


def classes(cache: Path, **counts: int | None) -> dict[str, int]:
    """The disjoint classes that staging makes of one result."""
    built = build_tables(cache, {COMPLETIONS: [used(DAY, **counts)]}, [USAGE])
    return {row["token_class"]: row["tokens"] for row in rows_of(built, USAGE)}


def lines(cache: Path, *line_items: str, unit: str | None = None) -> dict[str, tuple[Any, ...]]:
    """Line item -> (charge kind, model, token class, tier), as staging reads it."""
    charges = [charge(DAY, "1", line_item, quantity_unit=unit) for line_item in line_items]
    rows = rows_of(build_tables(cache, {COSTS: charges}, [LINES]), LINES)
    named = ("charge_kind", "raw_model", "token_class", "service_tier")
    return {row["raw_line_item"]: tuple(row[name] for name in named) for row in rows}


def test_cached_and_written_tokens_are_taken_out_of_the_input_once(tmp_path: Path) -> None:
    """B1, B3: OpenAI's input contains them where Anthropic's does not; the classes come to the input, not to more."""
    found = classes(
        tmp_path,
        input_tokens=1000,
        input_cached_tokens=600,
        input_cache_write_tokens=150,
        input_cache_write_30m_tokens=100,
        input_cache_write_12h_tokens=30,
        input_uncached_tokens=250,
        output_tokens=70,
    )
    assert found == {
        "input_uncached": 250,
        "input_cache_read": 600,
        "input_cache_write_30m": 100,
        "input_cache_write_12h": 30,
        "input_cache_write": 20,
        "output": 70,
    }


@pytest.mark.parametrize("uncached", [700, None])
def test_written_tokens_last_half_an_hour_where_only_the_others_are_told_apart(
    tmp_path: Path, uncached: int | None
) -> None:
    """B3: without a 30-minute count of its own, `input_cache_write_tokens` is that count, beside the 12-hour one."""
    counts = {"input_tokens": 1000, "input_cache_write_tokens": 250, "input_cache_write_12h_tokens": 50}
    found = classes(tmp_path, input_uncached_tokens=uncached, **counts)
    assert found == {"input_uncached": 700, "input_cache_write_30m": 250, "input_cache_write_12h": 50}


def test_the_uncached_part_decides_what_the_written_part_contains(tmp_path: Path) -> None:
    """B1: 750 uncached of 1000 leave 250 written in all, the 12-hour ones among them."""
    counts = {"input_tokens": 1000, "input_cache_write_tokens": 250, "input_cache_write_12h_tokens": 50}
    found = classes(tmp_path, input_uncached_tokens=750, **counts)
    assert found == {"input_uncached": 750, "input_cache_write_30m": 200, "input_cache_write_12h": 50}


def test_a_result_of_before_a_part_was_counted_is_all_uncached(tmp_path: Path) -> None:
    """B1: OpenAI states that a missing part is none of the input."""
    assert classes(tmp_path, input_tokens=1000, output_tokens=5) == {"input_uncached": 1000, "output": 5}


@pytest.mark.parametrize(
    "parts",
    [
        {"input_cached_tokens": 1001},
        {"input_cached_tokens": 600, "input_cache_write_tokens": 500},
        {"input_cached_tokens": 600, "input_uncached_tokens": 500},
    ],
)
def test_parts_that_do_not_come_to_the_whole_leave_it_whole(tmp_path: Path, parts: dict[str, int]) -> None:
    """B1: no class is made negative or smaller to fit; what nobody can split is one class that says so."""
    assert classes(tmp_path, input_tokens=1000, **parts) == {"input": 1000}


def test_a_count_that_is_missing_is_no_count(tmp_path: Path) -> None:
    """B4: no input stated is no row, not a row of 0."""
    assert classes(tmp_path, output_tokens=5) == {"output": 5}


def test_audio_is_its_own_class_and_never_more_than_its_class(tmp_path: Path) -> None:
    """B3: audio costs ten times what text does; an older count that holds cached audio too does not fit and is left."""
    heard = {"input_tokens": 1000, "input_cached_tokens": 300, "output_tokens": 50, "output_audio_tokens": 40}
    split = classes(tmp_path / "new", input_audio_tokens=200, input_cached_audio_tokens=100, **heard)
    assert split == {
        "input_uncached": 500,
        "input_uncached_audio": 200,
        "input_cache_read": 200,
        "input_cache_read_audio": 100,
        "output": 10,
        "output_audio": 40,
    }
    whole = classes(tmp_path / "old", input_audio_tokens=900, **heard)
    assert whole == {"input_uncached": 700, "input_cache_read": 300, "output": 10, "output_audio": 40}


def test_reasoning_is_inside_output_and_image_input_inside_input(tmp_path: Path) -> None:
    """B2, B3: parts of a class are never added to it."""
    counts = {"input_tokens": 90, "input_text_tokens": 60, "input_image_tokens": 30, "output_text_tokens": 40}
    found = classes(tmp_path, output_tokens=50, output_image_tokens=10, **counts)
    assert found == {"input_uncached": 90, "output": 40, "output_image": 10}


COUNTS = st.none() | st.integers(0, 2000)
PARTS = (
    "input_cached_tokens",
    "input_uncached_tokens",
    "input_cache_write_tokens",
    "input_cache_write_30m_tokens",
    "input_cache_write_12h_tokens",
    "input_audio_tokens",
    "input_cached_audio_tokens",
    "output_audio_tokens",
    "output_image_tokens",
)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    results=st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(PARTS, COUNTS) | {"input_tokens": st.integers(0, 3000), "output_tokens": st.integers(0, 3000)}
        ),
        min_size=1,
        max_size=40,
    )
)
def test_disjoint_classes_always_come_to_what_the_vendor_counts(
    tmp_path_factory: pytest.TempPathFactory, results: list[dict[str, int | None]]
) -> None:
    """B1, B2, B3: whatever parts a result states, consistent or not, none is negative and they sum to its totals."""
    rows = [used(DAY, api_key_id=f"key_{number}", **counts) for number, counts in enumerate(results)]
    built = build_tables(tmp_path_factory.mktemp("classes"), {COMPLETIONS: rows}, [USAGE])
    sums: dict[tuple[str, str], int] = {}
    for row in rows_of(built, USAGE):
        assert row["tokens"] > 0
        key = row["api_key_id"], row["token_class"].split("_")[0]
        sums[key] = sums.get(key, 0) + row["tokens"]
    stated = {
        (f"key_{number}", direction): counts[f"{direction}_tokens"]
        for number, counts in enumerate(results)
        for direction in ("input", "output")
    }
    assert sums == {key: count for key, count in stated.items() if count}


def test_line_items_are_read_leniently(tmp_path: Path) -> None:
    """B3, B5: every spelling met so far: tier before the bar, modality behind the model, class behind the comma."""
    assert lines(
        tmp_path,
        "gpt-4o-2024-08-06, Input",
        "gpt-6-astra, input_tokens",
        "gpt-5.6-luna, cached input",
        "gpt-5.6-sol, cache write",
        "gpt-5.6-sol, cache writes",
        "gpt-5.6-sol, cache writes - 12hr",
        "priority | gpt-5.6-sol, output, long context",
        "flex | gpt-5-mini-2025-08-07, input",
        "gpt-audio-mini-2025-12-15 audio, input",
        "gpt-image-2-2026-04-21 text, input",
        "gpt-image-1 image, output",
        "gpt-image-2.5-sunburst text, cached input",
        "web search tool calls",
        "Web search",
    ) == {
        "gpt-4o-2024-08-06, Input": ("tokens", "gpt-4o-2024-08-06", "input_uncached", "standard"),
        "gpt-6-astra, input_tokens": ("tokens", "gpt-6-astra", "input_uncached", "standard"),
        "gpt-5.6-luna, cached input": ("tokens", "gpt-5.6-luna", "input_cache_read", "standard"),
        "gpt-5.6-sol, cache write": ("tokens", "gpt-5.6-sol", "input_cache_write_30m", "standard"),
        "gpt-5.6-sol, cache writes": ("tokens", "gpt-5.6-sol", "input_cache_write_30m", "standard"),
        "gpt-5.6-sol, cache writes - 12hr": ("tokens", "gpt-5.6-sol", "input_cache_write_12h", "standard"),
        "priority | gpt-5.6-sol, output, long context": ("tokens", "gpt-5.6-sol", "output", "priority"),
        "flex | gpt-5-mini-2025-08-07, input": ("tokens", "gpt-5-mini-2025-08-07", "input_uncached", "flex"),
        "gpt-audio-mini-2025-12-15 audio, input": (
            "tokens",
            "gpt-audio-mini-2025-12-15",
            "input_uncached_audio",
            "standard",
        ),
        "gpt-image-2-2026-04-21 text, input": ("tokens", "gpt-image-2-2026-04-21", "input_uncached", "standard"),
        "gpt-image-1 image, output": ("tokens", "gpt-image-1", "output_image", "standard"),
        "gpt-image-2.5-sunburst text, cached input": (
            "tokens",
            "gpt-image-2.5-sunburst",
            "input_cache_read",
            "standard",
        ),
        "web search tool calls": ("web_search", None, None, None),
        "Web search": ("web_search", None, None, None),
    }


def test_a_line_item_that_nobody_knows_is_other_and_keeps_its_text_and_its_money(tmp_path: Path) -> None:
    """B4, B24: storage, images and surfaces of no tier are money of no class, never guessed to be tokens."""
    unknown = ("Vector storage", "Image models", "evals | gpt-4o, input", "assistants api | file search", "", "|", ",")
    found = lines(tmp_path / "lines", *unknown)
    assert {line: said[0] for line, said in found.items()} == dict.fromkeys(unknown, "other")
    rows = mart(tmp_path / "mart", **{COSTS: [charge(DAY, "1.5", line_item) for line_item in (*unknown, None)]})
    assert {(row["charge_kind"], row["token_class"], row["attribution"]) for row in rows} == {
        ("other", None, "unattributed")
    }
    assert billed(rows) == Decimal("1.5") * 8


def test_what_is_billed_by_another_unit_is_no_token_and_a_new_token_class_keeps_its_name(tmp_path: Path) -> None:
    """B4: seconds of whisper are no input tokens; a class of tokens that is new is a class."""
    assert lines(tmp_path / "seconds", "whisper-1, input", unit="duration_seconds") == {
        "whisper-1, input": ("other", "whisper-1", None, None)
    }
    assert lines(tmp_path / "tokens", "gpt-9, thoughts", unit="tokens") == {
        "gpt-9, thoughts": ("tokens", "gpt-9", "thoughts", "standard")
    }


def test_amounts_with_18_decimals_and_refunds_are_exact(tmp_path: Path) -> None:
    """B7, B10: no digit is lost on the way to the mart, and a negative day stays negative."""
    amounts = ["0.34090000000000000", "0.000003300000000000", "-12.5", "0.123456789012345678", "999999999.999999999999"]
    rows = mart(tmp_path, **{COSTS: [charge(DAY, amount, f"m{at}, output") for at, amount in enumerate(amounts)]})
    assert {row["model"]: row["billed_cost"] for row in rows} == {
        f"m{at}": Decimal(amount) for at, amount in enumerate(amounts)
    }


def test_a_charge_is_split_by_the_usage_of_its_project_model_and_class(tmp_path: Path) -> None:
    """B12: every project gets its own tokens' cost: another project's tokens of the same model take no part."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [
                charge(DAY, "0.10", project_id="proj_a"),
                charge(DAY, "0.90", project_id="proj_b"),
                charge(DAY, "0.03", "gpt-5-mini-2025-08-07, cached input", project_id="proj_a"),
            ],
            COMPLETIONS: [
                used(
                    DAY, project_id="proj_a", api_key_id="k1", input_tokens=30, input_cached_tokens=30, output_tokens=1
                ),
                used(DAY, hour=5, project_id="proj_a", api_key_id="k2", output_tokens=3),
                used(DAY, project_id="proj_b", api_key_id="k3", output_tokens=1_000_000),
            ],
        },
    )
    assert {(row["api_key_id"], row["token_class"]): row["billed_cost"] for row in rows} == {
        ("k1", "output"): Decimal("0.025"),
        ("k2", "output"): Decimal("0.075"),
        ("k3", "output"): Decimal("0.9"),
        ("k1", "input_cache_read"): Decimal("0.03"),
    }
    assert {row["model"] for row in rows} == {"gpt-5-mini"}


def test_a_null_project_is_a_value_like_others(tmp_path: Path) -> None:
    """B12: usage of no project pays the charges of no project."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [charge(DAY, "1"), charge(DAY, "2", project_id="proj_a")],
            COMPLETIONS: [used(DAY, output_tokens=5), used(DAY, project_id="proj_a", output_tokens=5)],
        },
    )
    assert {row["sub_account_id"]: row["billed_cost"] for row in rows} == {None: Decimal(1), "proj_a": Decimal(2)}
    assert {row["attribution"] for row in rows} == {"allocated"}


def test_what_is_billed_and_not_metered_and_what_is_metered_and_not_billed_stand_by_themselves(tmp_path: Path) -> None:
    """B21: a genuine week had two days' cost without usage and usage dated a day after its cost: nothing is forced."""
    later = DAY + timedelta(days=1)
    rows = mart(
        tmp_path,
        **{
            COSTS: [charge(DAY, "0.648614", "gpt-5-2025-08-07, output")],
            COMPLETIONS: [used(later, model="gpt-5-2025-08-07", api_key_id="k", output_tokens=64)],
        },
    )
    assert [(row["usage_date"], row["attribution"], row["tokens"], row["billed_cost"]) for row in rows] == [
        (DAY, "unattributed", None, Decimal("0.648614")),
        (later, "metered_only", 64, None),
    ]


def test_flex_and_batch_usage_take_no_part_of_a_standard_charge_where_the_bill_names_them(tmp_path: Path) -> None:
    """B5: a tier with a line of its own is a cell of its own."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [
                charge(DAY, "1"),
                charge(DAY, "0.5", "flex | gpt-5-mini-2025-08-07, output"),
                charge(DAY, "0.2", "batch | gpt-5-mini-2025-08-07, output"),
            ],
            COMPLETIONS: [
                used(DAY, api_key_id="live", output_tokens=10),
                used(DAY, api_key_id="cheap", service_tier="flex-tier", output_tokens=10**6),
                used(DAY, api_key_id="nightly", batch=True, output_tokens=10**7),
            ],
        },
    )
    assert {row["api_key_id"]: (row["service_tier"], row["billed_cost"]) for row in rows} == {
        "live": ("standard", Decimal(1)),
        "cheap": ("flex", Decimal("0.5")),
        "nightly": ("batch", Decimal("0.2")),
    }


def test_where_the_bill_does_not_tell_tiers_apart_they_share_a_cell_that_has_no_list_price(tmp_path: Path) -> None:
    """B5, B4: batch tokens in a charge that names no tier are no standard tokens: their cell's tier is unknown."""
    usage = [
        used(DAY, api_key_id="live", output_tokens=10),
        used(DAY, api_key_id="nightly", batch=True, output_tokens=30),
    ]
    mixed = mart(tmp_path / "mixed", **{COSTS: [charge(DAY, "4")], COMPLETIONS: usage})
    assert {row["api_key_id"]: (row["service_tier"], row["billed_cost"], row["price_status"]) for row in mixed} == {
        "live": (None, Decimal(1), "unpriced"),
        "nightly": (None, Decimal(3), "unpriced"),
    }
    alone = mart(tmp_path / "alone", **{COSTS: [charge(DAY, "4")], COMPLETIONS: usage[:1]})
    assert [(row["service_tier"], row["list_cost_rc"]) for row in alone] == [("standard", Decimal("0.00002"))]


def test_tokens_given_away_for_shared_data_take_no_part_of_a_charge(tmp_path: Path) -> None:
    """B5: OpenAI bills nothing for them; they are metered, and cost nothing that is known."""
    rows = mart(
        tmp_path,
        **{
            COSTS: [charge(DAY, "1")],
            COMPLETIONS: [
                used(DAY, api_key_id="k", output_tokens=10),
                used(DAY, api_key_id="free", service_tier="incentivized-tier", output_tokens=10**9),
            ],
        },
    )
    assert {row["api_key_id"]: (row["attribution"], row["billed_cost"]) for row in rows} == {
        "k": ("allocated", Decimal(1)),
        "free": ("metered_only", None),
    }


def test_long_contexts_are_the_same_tokens_to_the_meter_and_their_money_stays_with_them(tmp_path: Path) -> None:
    """B5, B12: two lines of one class are one cell: the meter does not say which requests were long."""
    long = charge(DAY, "3", "gpt-5.6-sol, input, long context")
    short = charge(DAY, "1", "gpt-5.6-sol, input")
    usage = [used(DAY, model="gpt-5.6-sol", api_key_id=key, input_tokens=5) for key in ("a", "b")]
    rows = mart(tmp_path, **{COSTS: [long, short], COMPLETIONS: usage})
    assert {row["api_key_id"]: (row["billed_cost"], row["price_status"]) for row in rows} == {
        "a": (Decimal(2), "unpriced"),
        "b": (Decimal(2), "unpriced"),
    }


def test_searches_are_split_by_searches(tmp_path: Path) -> None:
    """B24: a search is billed without a model; who searched is who pays."""
    searches = [
        of_project(DAY, project_id="p", api_key_id="a", model="gpt-5", num_requests=3, num_model_requests=90),
        of_project(DAY, project_id="p", api_key_id="b", model="gpt-4o", num_requests=1),
    ]
    rows = mart(
        tmp_path,
        **{
            COSTS: [charge(DAY, "0.04", "web search tool calls", project_id="p")],
            usage_view("web_search_calls"): searches,
        },
    )
    assert {row["api_key_id"]: (row["web_search_request_count"], row["billed_cost"]) for row in rows} == {
        "a": (3, Decimal("0.03")),
        "b": (1, Decimal("0.01")),
    }


def test_embeddings_are_input_and_what_is_no_token_is_counted_in_its_own_unit(tmp_path: Path) -> None:
    """B1, B24: seconds and images are no tokens, and stay beside them in staging."""
    tables = {
        usage_view("embeddings"): [of_project(DAY, model="text-embedding-3-small", input_tokens=70)],
        usage_view("audio_transcriptions"): [of_project(DAY, model="whisper-1", seconds=30)],
        usage_view("images"): [of_project(DAY, model="gpt-image-1", images=2)],
    }
    built = build_tables(tmp_path, tables, [USAGE, "int_api_usage_daily"])
    assert {(row["activity"], row["token_class"], row["tokens"]) for row in rows_of(built, USAGE) if row["tokens"]} == {
        ("embeddings", "input_uncached", 70)
    }
    assert {
        row["activity"]: (row["other_quantity"], row["other_quantity_unit"])
        for row in rows_of(built, USAGE)
        if row["other_quantity"]
    } == {"audio_transcriptions": (30, "seconds"), "images": (2, "images")}
    assert [row["tokens"] for row in rows_of(built, "int_api_usage_daily")] == [70]


def test_dated_snapshots_are_one_model_and_what_is_no_date_stays(tmp_path: Path) -> None:
    """B12, B5: gpt-4o of May 2024 cost twice the later ones, and 0613 is no date."""
    names = ["gpt-4o-2024-08-06", "gpt-4o", "gpt-4o-2024-05-13", "gpt-9-2027-02-30", "gpt-9-2027-02-28", "gpt-4-0613"]
    usage = [used(DAY, model=name, output_tokens=1) for name in names]
    built = build_tables(tmp_path, {COMPLETIONS: usage}, ["int_api_model_names_daily"])
    assert {row["raw_model"]: row["model"] for row in rows_of(built, "int_api_model_names_daily")} == {
        "gpt-4o-2024-08-06": "gpt-4o",
        "gpt-4o": "gpt-4o",
        "gpt-4o-2024-05-13": "gpt-4o-2024-05-13",
        "gpt-9-2027-02-30": "gpt-9-2027-02-30",
        "gpt-9-2027-02-28": "gpt-9",
        "gpt-4-0613": "gpt-4-0613",
    }


def test_the_dashboards_export_is_never_added_to_the_api(tmp_path: Path) -> None:
    """B22, B9: the same money and the same tokens, said again by a file, count once."""
    tables: dict[str, Sequence[Row]] = {
        COSTS: [charge(DAY, "1")],
        CSV_COSTS: [charge(DAY, "1", None)],
        COMPLETIONS: [used(DAY, output_tokens=5)],
        CSV_COMPLETIONS: [used(DAY, hours=24, output_tokens=5)],
        "landed_coverage": [covered(DAY, "openai_usage_api", "completions", stated_at=utc("2026-11-06"))],
    }
    rows = mart(tmp_path, **tables)
    assert [(row["source"], row["billed_cost"], row["tokens"]) for row in rows] == [("openai_costs_api", Decimal(1), 5)]


def test_an_export_counts_the_days_that_the_api_does_not_vouch_for(tmp_path: Path) -> None:
    """B22: a day of which the API says that nothing was used is such a day, whatever a file says."""
    quiet, earlier = DAY, DAY - timedelta(days=1)
    tables: dict[str, Sequence[Row]] = {
        CSV_COMPLETIONS: [used(day, hours=24, output_tokens=5) for day in (quiet, earlier)],
        "landed_coverage": [covered(quiet, "openai_usage_api", "completions", stated_at=utc("2026-11-06"))],
    }
    rows = mart(tmp_path, **tables)
    assert [(row["usage_date"], row["source"], row["tokens"]) for row in rows] == [(earlier, "openai_dashboard_csv", 5)]


def test_a_control_counts_no_token_and_no_day_waits_for_it(tmp_path: Path) -> None:
    """B22, B28: an export dropped once beside the API holds no day up; neither its money nor its meters are summed."""
    entries = [
        {"source": name, "account": "acme", "role": role}
        for name, role in (("openai_usage_api", "book"), ("openai_dashboard_csv", "control"))
    ]
    config = Config.model_validate({"company": "Acme", "sources": entries})
    datasets = [dataset for source in SOURCES for dataset in source.datasets]
    sources = config_frames([Version(datetime(2026, 11, 1, tzinfo=UTC), config)], datasets)["config_sources"].to_dicts()
    assert {row["role"] for row in sources if row["source"] == "openai_dashboard_csv"} == {"control"}
    api, csv = ("openai_usage_api", "completions"), ("openai_dashboard_csv", "completions")
    days = [DAY, DAY + timedelta(days=1)]
    tables: dict[str, Sequence[Row]] = {
        "config_sources": sources,
        "calendar": days_until(DAY, as_of=utc("2026-11-05")),
        "landed_coverage": [
            *(covered(day, *api, stated_at=utc("2026-11-09")) for day in days),
            covered(DAY, *csv, stated_at=utc("2026-11-03 00:00:01")),
        ],
        CSV_COMPLETIONS: [used(DAY - timedelta(days=1), hours=24, output_tokens=5)],
    }
    built = build_tables(tmp_path, tables, ["fct_day_status_daily", "int_api_usage_daily", *API_CHECKS])
    assert [row["status"] for row in rows_of(built, "fct_day_status_daily")][:2] == ["settled", "settled"]
    assert rows_of(built, "int_api_usage_daily") == []
    assert broken_laws(built) == []


def test_a_dashboard_export_alone_is_the_book(tmp_path: Path) -> None:
    """B22: an export that was not grouped is money of no model: kept, and attributed to nothing."""
    rows = mart(
        tmp_path, config_sources=openai_sources(costs="control", csv="book"), **{CSV_COSTS: [charge(DAY, "0.34", None)]}
    )
    assert [(row["charge_kind"], row["model"], row["billed_cost"]) for row in rows] == [
        ("other", None, Decimal("0.34"))
    ]


def test_two_books_of_one_month_are_named_and_the_api_is_summed(tmp_path: Path) -> None:
    """B22: equal rank is a configuration error that names both."""
    tables = {
        "config_sources": openai_sources(costs="book", csv="book"),
        COSTS: [charge(DAY, "1")],
        CSV_COSTS: [charge(DAY, "1", None)],
    }
    built = build_tables(tmp_path, tables, [MART, *API_CHECKS])
    assert billed(rows_of(built, MART)) == Decimal(1)
    said = broken_laws(built, ["check_api_book_of_record"])
    assert len(said) == 1
    assert "openai_costs_api and openai_dashboard_csv are both the book of record of issuer openai" in said[0]


def test_minutes_add_up_to_hours_and_a_day_bucket_has_none(tmp_path: Path) -> None:
    """B8: the dashboard may export buckets of a minute; what has no hour gets none."""
    minute = used(DAY, hour=7, output_tokens=1)
    minutes = [
        minute | {"start_time": minute["start_time"] + 60 * at, "end_time": minute["start_time"] + 60 * (at + 1)}
        for at in range(60)
    ]
    tables = {CSV_COMPLETIONS: [*minutes, used(DAY, hours=24, output_tokens=9)]}
    built = build_tables(tmp_path, tables, ["fct_demand_hourly", "fct_demand_daily"])
    assert [(row["usage_hour_at"], row["tokens"]) for row in rows_of(built, "fct_demand_hourly")] == [
        (utc("2026-11-03 07:00"), 60)
    ]
    assert [(row["tokens"], row["evidence"]) for row in rows_of(built, "fct_demand_daily")] == [(69, "daily")]


def test_a_workload_is_matched_by_its_project(tmp_path: Path) -> None:
    """B12: a rule names the project as OpenAI does, and a model by its dated name."""
    rules = [{"rule_id": "chat#1", "workload": "chat", "sub_account": "proj_a", "model": "gpt-5-mini-2025-08-07"}]
    rows = mart(
        tmp_path,
        config_workload_rules=rules,
        **{
            COSTS: [charge(DAY, "1", project_id="proj_a"), charge(DAY, "2", project_id="proj_b")],
            COMPLETIONS: [used(DAY, project_id="proj_a", api_key_id="k", output_tokens=4)],
        },
    )
    assert {row["sub_account_id"]: row["workload"] for row in rows} == {"proj_a": "chat", "proj_b": "unassigned"}


TIERS = st.sampled_from([{}, {"batch": True}, {"service_tier": "flex"}, {"service_tier": None}])
PROJECTS = st.sampled_from([None, "proj_a", "proj_b"])
LINE_ITEMS = st.sampled_from(
    [None, "gpt-5-mini, output", "flex | gpt-5-mini, output", "gpt-5-mini, input", "Web search", "Vector storage"]
)
OFFSETS = st.integers(0, 40).map(lambda offset: date(2026, 10, 10) + timedelta(days=offset))


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    charges=st.lists(
        st.tuples(
            OFFSETS,
            PROJECTS,
            LINE_ITEMS,
            st.integers(-(10**22), 10**22).map(lambda quanta: Decimal(quanta).scaleb(-18)),
        ),
        max_size=10,
    ),
    usages=st.lists(
        st.tuples(OFFSETS, PROJECTS, TIERS, st.sampled_from([None, "a", "b"]), st.integers(0, 10**12)), max_size=12
    ),
    order=st.randoms(use_true_random=False),
)
def test_money_and_tokens_are_conserved_whatever_comes_in_whatever_order(
    tmp_path_factory: pytest.TempPathFactory, charges: list[Any], usages: list[Any], order: Any
) -> None:
    """B12, B7, B9: exact sums for random charges, refunds, tiers and usage, and the same table in any order of rows."""
    costs = [charge(day, f"{amount:f}", line_item, project_id=project) for day, project, line_item, amount in charges]
    usage = [
        used(day, project_id=project, api_key_id=key, output_tokens=tokens, **tier)
        for day, project, tier, key, tokens in usages
    ]
    first = mart(tmp_path_factory.mktemp("first"), **{COSTS: costs, COMPLETIONS: usage})
    order.shuffle(costs)
    order.shuffle(usage)
    second = mart(tmp_path_factory.mktemp("second"), **{COSTS: costs, COMPLETIONS: usage})
    assert first == second
    assert billed(first) == sum((amount for *_, amount in charges), Decimal(0))
    assert sum(row["tokens"] or 0 for row in first) == sum(tokens for *_, tokens in usages)


FAULTS = {
    "check_api_money_conserved": ("stg_openai_costs_api__costs_daily", "sum(billed_cost)", "max(billed_cost)"),
    "check_api_tokens_conserved": (USAGE, "input_tokens - cached - written as uncached", "input_tokens as uncached"),
}


@pytest.mark.parametrize("check", FAULTS)
def test_a_planted_fault_breaks_the_check_of_its_law(tmp_path: Path, check: str) -> None:
    """B1, B7: cached tokens left inside the input are counted twice, and the law sees it."""
    model, old, new = FAULTS[check]
    tables: dict[str, Sequence[Row]] = {
        "config_sources": openai_sources(),
        COSTS: [charge(DAY, "1"), charge(DAY, "2")],
        COMPLETIONS: [used(DAY, input_tokens=10, input_cached_tokens=4, output_tokens=1)],
    }
    sound = build_tables(tmp_path / "sound", tables, [check])
    faulty = build_tables(tmp_path / "faulty", tables, [check], replaced=[broken(model, old, new)])
    assert broken_laws(sound, [check]) == []
    assert broken_laws(faulty, [check]) != []
