"""What a bill charges beside the tokens of requests: told by the words of its lines, with the cost of one unit."""

from collections import defaultdict
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from tests.models.api_harness import RATES, build_tables, days_until, rows_of, utc
from tests.models.openai_rows import COMPLETIONS, COSTS, CSV_COSTS, MODEL, charge, openai_sources, used
from tests.models.test_fx_rates import rate_rows
from tests.models.test_gateway_shapes import BILLS, LOGS, request

TABLE = "fct_api_other_charges_daily"
DAY = date(2026, 11, 3)
# line item, stated unit, quantity, amount -> kind, unit, cost of one unit. The second route: by hand, in fractions.
LINES = (
    ("Image models", "images", "120", "4.80", "images", "image", Fraction("0.04")),
    ("whisper-1", "duration_minutes", "500", "3.00", "audio", "minute", Fraction("0.006")),
    ("gpt-4o-transcribe", "duration_seconds", "6000", "0.60", "audio", "minute", Fraction("0.006")),
    ("realtime sessions", "duration_hours", "2", "7.20", "audio", "minute", Fraction("0.06")),
    ("tts-1", "characters", "2000000", "30.00", "audio", "million_characters", Fraction(15)),
    (f"{MODEL}, training", "tokens", "3000000", "75.00", "fine_tune_training", "million_tokens", Fraction(25)),
    ("Fine-tuning: gpt-4o-mini", None, None, "12.00", "fine_tune_training", None, None),
    ("Fine-tuned model hosting", "duration_hours", "24", "40.80", "tuned_model_hosting", "hour", Fraction("1.7")),
    ("Web search", None, None, "0.50", "web_search", None, None),
    ("Vector stores", "gibibyte_hours", "10", "0.10", "other", None, None),
    (None, None, None, "1.00", "other", None, None),
)  # fmt: skip
# Requests of tokens, also those of a tuned model, are no other charge.
REQUESTS = (
    (f"{MODEL}, output", "tokens", "1000", "2.00"),
    ("ft:gpt-4o-mini-2024-07-18:acme::abc, input", "tokens", "1000", "3.00"),
    ("ft:training-hosting, cached input", "tokens", "1000", "0.20"),
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    said = [(item, unit, quantity, amount) for item, unit, quantity, amount, *_ in LINES] + list(REQUESTS)
    charges = [
        charge(DAY, amount, item, quantity_unit=unit, quantity=quantity, project_id="p")
        for item, unit, quantity, amount in said
    ]
    tables = {
        COSTS: charges,
        # A control of the same bill: never added.
        CSV_COSTS: charges,
        "config_sources": openai_sources(),
        "calendar": days_until(DAY, as_of=utc("2026-11-05 06:00")),
        "config_workload_rules": [{"rule_id": "w#1", "workload": "w", "account": "acme", "sub_account": "p"}],
        "config_workloads": [{"workload": "w"}],
    }
    return rows_of(build_tables(tmp_path_factory.mktemp("other"), tables, [TABLE, "int_api_charges_daily"]), TABLE)


def test_each_line_is_of_the_kind_that_its_words_say_and_costs_so_much_a_unit(rows: list[dict[str, object]]) -> None:
    found = {row["charge_description"]: row for row in rows}
    assert len(found) == len(rows) == len(LINES)
    for item, _, quantity, amount, kind, unit, per_unit in LINES:
        row = found[item]
        assert (row["other_kind"], row["unit"], row["billed_cost"]) == (kind, unit, Decimal(amount)), item
        assert row["billed_quantity"] == (None if quantity is None else Decimal(quantity))
        expected = None if per_unit is None else pytest.approx(float(per_unit), rel=1e-12)
        assert row["billed_cost_per_unit"] == expected, item
        assert row["workload"] == "w"


def test_the_kinds_and_the_tokens_of_requests_are_the_whole_bill_of_the_book(rows: list[dict[str, object]]) -> None:
    """The control states it once more, and is in no sum."""
    by_kind: dict[object, Decimal] = defaultdict(Decimal)
    for row in rows:
        by_kind[row["other_kind"]] += row["billed_cost"]  # type: ignore[operator]
        assert row["source"] == "openai_costs_api"
    requests = sum(Decimal(amount) for *_, amount in REQUESTS)
    assert sum(by_kind.values()) + requests == sum(Decimal(line[3]) for line in LINES) + requests
    assert by_kind["fine_tune_training"] == Decimal(87)


def test_a_charge_of_a_model_whose_tokens_a_gateway_splits_is_there_once(tmp_path: Path) -> None:
    """Two teams share the model's tokens: its training is no request of either."""
    of_team = {"account": "acme", "gateway_team": "t-search"}
    tables = {
        COSTS: [charge(DAY, "75.00", f"{MODEL}, training", project_id="p"), charge(DAY, "2", project_id="p")],
        COMPLETIONS: [used(DAY, hours=24, project_id="p", output_tokens=100)],
        LOGS: [
            request(number, 9, 0, 50, custom_llm_provider="openai", model=MODEL, team_id=team, day=DAY)
            for number, team in enumerate(("t-search", "t-chat"))
        ],
        "config_estimated_bills": [BILLS[0] | {"provider": "openai", "bill_issuer": "openai"}],
        "config_sources": openai_sources(),
        "calendar": days_until(DAY, as_of=utc("2026-11-05 06:00")),
        "config_workload_rules": [
            {"rule_id": "search#1", "workload": "search", **of_team},
            {"rule_id": "chat#1", "workload": "chat", **of_team, "gateway_team": "t-chat"},
        ],
        "config_workloads": [{"workload": "search"}, {"workload": "chat"}],
    }
    built = build_tables(tmp_path, tables, [TABLE, "fct_api_costs_daily"])
    assert {row["workload"] for row in rows_of(built, "fct_api_costs_daily") if row["tokens"]} == {"search", "chat"}
    [row] = rows_of(built, TABLE)
    assert (row["workload"], row["billed_cost"]) == ("unassigned", Decimal(75))


def test_a_charge_is_converted_at_its_days_rate_and_unknown_without_one(tmp_path: Path) -> None:
    """By hand: 0.80 EUR for a dollar; the yen has no rate."""
    said = (("Image models", "4.80", "USD"), ("Web search", "1.50", "EUR"), ("Vector stores", "700", "JPY"))
    tables = {
        COSTS: [charge(DAY, amount, item, currency=currency, project_id="p") for item, amount, currency in said],
        "config_sources": openai_sources(),
        "config_company": [{"company": "Acme", "reporting_currency": "EUR"}],
        RATES: rate_rows({str(DAY): {"USD": "1.25"}}),
        "calendar": days_until(DAY, as_of=utc("2026-11-05 06:00")),
    }
    rows = {row["billing_currency"]: row for row in rows_of(build_tables(tmp_path, tables, [TABLE]), TABLE)}
    assert {name: row["billed_cost_rc"] for name, row in rows.items()} == {
        "USD": Decimal("3.84"), "EUR": Decimal("1.50"), "JPY": None
    }  # fmt: skip
    assert rows["JPY"]["billed_cost"] == 700


def test_without_any_bill_there_is_no_row(tmp_path: Path) -> None:
    assert rows_of(build_tables(tmp_path, {}, [TABLE]), TABLE) == []
