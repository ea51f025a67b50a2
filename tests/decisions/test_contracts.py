"""Contracts in verdicts: agreed prices, a price that changes, and a commitment that is due whatever moves."""

import csv
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.build.config_tables.frames import SCHEMAS, config_frames
from pipeline.build.config_tables.versions import Version
from pipeline.config.file import parse_config
from pipeline.config.vocabulary import TOKEN_CLASSES
from pipeline.decisions import api_prices, list_prices
from pipeline.decisions.api_side import period_of
from pipeline.decisions.price_book import _PRICE_KEYS
from pipeline.economics.prices import PriceKey
from pipeline.errors import ConfigError
from pipeline.explain.verdict_arithmetic import write_out
from pipeline.paths import models_root
from tests.decisions.test_verdict_conditions import FLAT, on_api
from tests.decisions.test_verdict_rates import DAYS, LAST, Row, api_cost, listed, unbilled, verdict
from tests.explain.test_condition_arithmetic import inputs_of

CHANGE = DAYS[20]


def contract(**said: Any) -> Row:
    """One row of config_contracts: what was agreed with anthropic about all accounts, in dollars."""
    row = dict.fromkeys(SCHEMAS["config_contracts"]) | {
        "provider": "anthropic",
        "discount_ratio": Decimal(0),
        "commitment_period": "month",
        "agreed_from_date": date(2026, 1, 1),
        "currency": "USD",
    }
    return row | said


def other_workload(day: date, cost: str, account: str = "main") -> Row:
    return {**api_cost(day), "workload": "others", "account": account, "billed_cost_rc": Decimal(cost)}


def changed(before: str, now: str, *, on: date = CHANGE) -> list[Row]:
    """Two prices of the tokens that `api_cost` bills."""
    return [
        {**listed("USD", before), "valid_from_date": None, "valid_to_date": on},
        {**listed("USD", now), "valid_from_date": on, "valid_to_date": None},
    ]


# --- agreed prices ---------------------------------------------------------------------------------------------------


def prices_of(text: str, seen: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Rows of api_prices for a breakeven.yaml with these contracts and these models seen."""
    config = parse_config("company: x\n" + text)
    frames = config_frames([Version(datetime(2026, 1, 1, tzinfo=UTC), config)], [])
    models = pl.DataFrame(
        list(seen),
        schema={"provider": pl.String(), "model": pl.String(), "context_window": pl.String()},
        orient="row",
    )
    listed_rows = list_prices.build({"int_api_models_seen": models})
    aliases = pl.DataFrame(schema={"provider": pl.String(), "raw_name": pl.String(), "model": pl.String()})
    built = api_prices.build(
        {**frames, "int_api_models_seen": models, "list_prices": listed_rows, "model_aliases": aliases}
    )
    assert dict(built.schema) == dict(api_prices.SCHEMA)
    return built.to_dicts()


def test_a_discount_is_off_the_list_price_and_a_rate_stands_in_its_place() -> None:
    rows = prices_of(
        """
contracts:
  - provider: anthropic
    account: main
    from: 2026-11-01
    discount: 0.2
    rates: [{model: claude-opus-4-8, token_class: output, per_mtok: 18.5}]
""",
        [("anthropic", "claude-opus-4-8", "0-200k")],
    )
    standard = {
        (row["account"], row["token_class"], row["valid_from_date"]): row for row in rows if row["mode"] == "standard"
    }
    before, since = None, date(2026, 11, 1)
    output, rate = standard["main", "output", before], standard["main", "output", since]
    assert (output["cost_per_mtok"], output["price_basis"]) == (Decimal(25), "list")
    assert (rate["cost_per_mtok"], rate["list_cost_per_mtok"], rate["price_basis"]) == (
        Decimal("18.5"),
        Decimal(25),
        "rate",
    )
    less = standard["main", "input_uncached", since]
    assert (less["cost_per_mtok"], less["price_basis"]) == (Decimal(4), "discount")
    assert less["price_source"].startswith("contract with anthropic, account main, from 2026-11-01, off genai-prices ")
    # Other accounts have no contract.
    assert (None, "input_uncached", since) not in standard
    assert standard[None, "input_uncached", before]["cost_per_mtok"] == Decimal(5)


def test_a_contract_prices_what_no_book_knows() -> None:
    rows = prices_of(
        """
contracts:
  - provider: groq
    from: 2026-01-01
    rates: [{model: llama-3.3-70b, token_class: output, per_mtok: 0.79}]
""",
        [],
    )
    [row] = rows
    assert (row["context_window"], row["mode"], row["list_cost_per_mtok"]) == ("0-200k", "standard", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{provider: anthropic, from: 2026-02-01, to: 2026-02-01}", "It must be after `from`"),
        (
            "{provider: anthropic, from: 2026-02-01}, {provider: anthropic, from: 2026-03-01}",
            "It overlaps the one from",
        ),
        ("{provider: anthropic, from: 2026-02-01, discount: 1.5}", "less than 1"),
        (
            "{provider: anthropic, from: 2026-02-01, rates: [{model: m, token_class: output, per_mtok: 1}, "
            "{model: m, token_class: output, per_mtok: 2}]}",
            "It has a rate already",
        ),
        (
            "{provider: anthropic, from: 2026-02-01, rates: [{model: m, token_class: outputs, per_mtok: 1}]}",
            "contracts.0.rates.0.token_class is 'outputs'. Known here: input_cache_read,",
        ),
        (
            "{provider: anthropic, from: 2026-02-01, "
            "rates: [{model: m, token_class: output, per_mtok: 1, mode: weird}]}",
            "contracts.0.rates.0.mode is 'weird'. Known here: batch,",
        ),
        ("{provider: anthropic, from: 2026-02-01, currency: QQQ}", "contracts.0.currency is 'QQQ'. No currency has"),
        ("{provider: anthropic, discount: 0.1}", "contracts.0.from is 'missing'. It is required"),
    ],
)
def test_a_contract_that_cannot_hold_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(f"company: x\ncontracts: [{text}]")


def test_an_account_may_be_called_any() -> None:
    said = "contracts: [{provider: anthropic, from: 2026-01-01}, {provider: anthropic, account: any, from: 2026-01-01}]"
    assert len(parse_config(f"company: x\n{said}").contracts) == 2


def test_an_own_contract_goes_before_one_for_all() -> None:
    rows = prices_of(
        """
contracts:
  - {provider: anthropic, from: 2026-01-01, discount: 0.1}
  - {provider: anthropic, account: main, from: 2026-06-01, discount: 0.2}
""",
        [("anthropic", "claude-opus-4-8", "0-200k")],
    )
    prices = api_prices.price_list(rows)

    def cost(account: str, day: date) -> Decimal | None:
        key = PriceKey(
            provider="anthropic",
            model="claude-opus-4-8",
            token_class="output",
            context_window="0-200k",
            account=account,
        )
        found = prices.on(day, key)
        return None if found is None else found.per_mtok

    days = (date(2025, 12, 31), date(2026, 5, 31), date(2026, 6, 1))
    assert [cost("main", day) for day in days] == [Decimal(25), Decimal("22.5"), Decimal(20)]
    assert [cost("labs", day) for day in days] == [Decimal(25), Decimal("22.5"), Decimal("22.5")]


# --- a price that changes --------------------------------------------------------------------------------------------


def test_what_was_billed_before_a_price_changed_counts_at_the_new_price() -> None:
    """B6: 20 days at 15, 8 at 7.50, where the list went from 30 to 15: a token costs 7.50 now, not the mean."""
    costs = [{**api_cost(day), "billed_cost_rc": Decimal("15") if day < CHANGE else Decimal("7.5")} for day in DAYS]
    found = verdict(fct_api_costs_daily=costs, api_prices=changed("30", "15"))
    assert found["api_price_rc_per_mtok"] == Decimal("7.5")
    assert found["api_price_basis"] == "repriced+realized"


def test_without_a_change_nothing_is_repriced_and_other_tokens_never_are() -> None:
    untouched = verdict()
    assert untouched["api_price_basis"] == "realized"
    same = {"api_prices": changed("30", "15", on=DAYS[0])}
    assert verdict(**same)["api_price_rc_per_mtok"] == untouched["api_price_rc_per_mtok"]
    for other in ({"model": "claude-opus-5"}, {"price_mode": "batch"}, {"price_mode": None}, {"inference_geo": "us"}):
        costs = [{**api_cost(day), **other} for day in DAYS]
        found = verdict(fct_api_costs_daily=costs, api_prices=changed("30", "15"))
        assert found["api_price_rc_per_mtok"] == untouched["api_price_rc_per_mtok"]


@settings(max_examples=30, deadline=None)
@given(before=st.integers(1, 50), now=st.integers(0, 50), first=st.integers(0, 27), billed=st.integers(0, 40))
def test_a_repriced_verdict_recomputes_by_hand(before: int, now: int, first: int, billed: int) -> None:
    """Each day alone: billed x what it costs now / what it cost then; and `explain` writes out the same."""
    on = DAYS[first]
    costs = [{**api_cost(day), "billed_cost_rc": Decimal(billed)} for day in DAYS]
    tables = {"fct_api_costs_daily": costs, "api_prices": changed(str(before), str(now), on=on)}
    found = verdict(**tables)
    expected = sum((Fraction(billed) * (Fraction(now, before) if day < on else 1) for day in DAYS), Fraction(0)) / len(
        DAYS
    )
    if expected:
        assert abs(Fraction(found["api_price_rc_per_mtok"]) - expected) < Fraction(1, 10**17)


def test_an_unbilled_workload_has_the_agreed_price() -> None:
    agreed = {
        **listed("USD", "20"),
        "list_cost_per_mtok": Decimal(25),
        "price_basis": "discount",
        "price_source": "contract",
    }
    found = verdict(fct_api_costs_daily=unbilled(), api_prices=[agreed])
    assert (found["api_price_rc_per_mtok"], found["api_price_basis"]) == (Decimal(20), "discount")


def test_a_model_that_two_providers_sell_is_not_priced_by_either() -> None:
    """B4: which of them is meant, nobody said."""
    found = verdict(
        fct_api_costs_daily=unbilled(), api_prices=[listed("USD"), {**listed("USD", "9"), "provider": "groq"}]
    )
    assert found["status"] == "prices_only"
    assert "claude-opus-4-8 is sold by anthropic and groq" in found["reason"]


def agreed_with(provider: str, per_mtok: str = "0.79", **said: Any) -> Row:
    return {**listed("USD", per_mtok), "provider": provider, "price_basis": "rate", "list_cost_per_mtok": None} | said


def test_of_several_sellers_the_one_that_a_contract_agrees_the_model_with_is_meant() -> None:
    """Of another class of it, too: then what else it sells has its own price, or none."""
    for_sale = [agreed_with("groq"), {**listed("USD", "9"), "provider": "cerebras"}]
    found = verdict(fct_api_costs_daily=unbilled(), api_prices=for_sale)
    assert (found["api_price_rc_per_mtok"], found["api_price_basis"]) == (Decimal("0.79"), "rate")
    of_input = [agreed_with("groq", token_class="input_uncached"), for_sale[1]]
    assert "no API price for output" in verdict(fct_api_costs_daily=unbilled(), api_prices=of_input)["reason"]


@pytest.mark.parametrize(
    "other",
    [
        # Two contracts name it.
        agreed_with("cerebras", "0.5"),
        # The only one that does has ended.
        {**agreed_with("cerebras", "0.5"), "valid_to_date": DAYS[3]},
    ],
)
def test_sellers_that_no_one_contract_tells_apart_leave_the_price_open(other: Row) -> None:
    first = agreed_with("groq") if other["valid_to_date"] is None else {**listed("USD"), "provider": "groq"}
    also = {**listed("USD", "9"), "provider": "together"}
    found = verdict(fct_api_costs_daily=unbilled(), api_prices=[first, other, also])
    assert "claude-opus-4-8 is sold by" in found["reason"]


# --- commitments -----------------------------------------------------------------------------------------------------


def test_below_a_commitment_nothing_is_avoidable() -> None:
    """28 days of 15 are 420. Committed are 30 a day, of which nobody uses the rest: moving saves nothing."""
    free = verdict(**on_api(FLAT))
    bound = verdict(**on_api(FLAT), config_contracts=[contract(commitment_cost=Decimal(24 * 15 * 30 * 2))])
    assert free["recommendation"] == "switch_to_self_host"
    assert bound["recommendation"] == "stay"
    assert bound["best_replica_count"] == 0
    assert bound["api_only_cost_rc"] == bound["current_cost_rc"] == Decimal(24 * 15 * 28 * 2)


def test_what_others_use_up_of_a_commitment_leaves_all_of_a_workload_avoidable() -> None:
    costs = [*on_api(FLAT)["fct_api_costs_daily"], *(other_workload(day, "720") for day in DAYS)]
    tables = {**on_api(FLAT), "fct_api_costs_daily": costs}
    bound = verdict(**tables, config_contracts=[contract(commitment_cost=Decimal(720 * 30))])
    free = verdict(**tables)
    assert bound == free


def test_another_accounts_traffic_uses_up_nothing_of_an_accounts_own_commitment() -> None:
    costs = [*on_api(FLAT)["fct_api_costs_daily"], *(other_workload(day, "720", "labs") for day in DAYS)]
    own = contract(account="main", commitment_cost=Decimal(720 * 30))
    found = verdict(**{**on_api(FLAT), "fct_api_costs_daily": costs}, config_contracts=[own])
    assert found["recommendation"] == "stay"
    elsewhere = verdict(**on_api(FLAT), config_contracts=[contract(account="labs", commitment_cost=Decimal(10**6))])
    assert elsewhere == verdict(**on_api(FLAT))


def test_a_minimum_is_due_as_a_commitment_is() -> None:
    floor = Decimal(720 * 30)
    committed = verdict(**on_api(FLAT), config_contracts=[contract(commitment_cost=floor)])
    minimum = verdict(**on_api(FLAT), config_contracts=[contract(minimum_monthly_cost=floor)])
    assert minimum == committed


def invoiced_shortfall(day: date, cost: str, workload: str = "unassigned") -> Row:
    """A line of a whole period on one day's bill."""
    of_nothing = dict.fromkeys(("model", "token_class", "price_mode", "tokens"))
    money = {"billed_cost_rc": Decimal(cost), "is_of_a_period": True, "charge_kind": "other"}
    return {**api_cost(day), **of_nothing, **money, "workload": workload}


@pytest.mark.parametrize("owner", ["unassigned", "chat"])
def test_a_shortfall_of_a_quarter_uses_up_of_it_as_much_as_the_window_is_of_the_quarter(owner: str) -> None:
    """500 a day of 92 are due and 360 used: 92 x 140 invoiced in November are no 28 days' use, which is 28 x 140."""
    agreed = contract(commitment_cost=Decimal(46_000), commitment_period="quarter")
    costs = [*on_api(FLAT)["fct_api_costs_daily"], invoiced_shortfall(date(2026, 11, 1), str(92 * 140), owner)]
    found = verdict(**{**on_api(FLAT), "fct_api_costs_daily": costs}, config_contracts=[agreed])
    assert (found["api_committed_cost_rc"], found["api_only_cost_rc"]) == (28 * 360, 28 * 360)
    assert (found["recommendation"], found["best_replica_count"]) == ("stay", 0)


def test_two_commitments_leave_a_verdict_open() -> None:
    costs = [*on_api(FLAT)["fct_api_costs_daily"], {**api_cost(LAST), "account": "labs"}]
    agreed = [contract(account=name, commitment_cost=Decimal(100)) for name in ("main", "labs")]
    found = verdict(**{**on_api(FLAT), "fct_api_costs_daily": costs}, config_contracts=agreed)
    assert found["status"] == "prices_only"
    assert "under 2 commitments, of anthropic/labs and anthropic/main" in found["reason"]


@pytest.mark.parametrize("elsewhere", [{"provider": "openai"}, {"account": "labs"}])
def test_a_commitment_to_a_part_of_a_workloads_traffic_leaves_its_verdict_open(elsewhere: Row) -> None:
    """180 a day under 300 due and 180 elsewhere: 13,440 are paid, 5,040 of it avoidable, and no count says how."""
    half = [
        {**row, "tokens": 12_000_000, "billed_cost_rc": Decimal(180)} for row in on_api(FLAT)["fct_api_costs_daily"]
    ]
    costs = [*half, *({**row, **elsewhere} for row in half)]
    agreed = contract(account="main", commitment_cost=Decimal(9000))
    found = verdict(**{**on_api(FLAT), "fct_api_costs_daily": costs}, config_contracts=[agreed])
    assert (found["status"], found["api_price_rc_per_mtok"], found["api_committed_cost_rc"]) == (
        "prices_only",
        None,
        None,
    )
    said = "a part of its API traffic is not under the commitment to anthropic/main: split the workload by account"
    assert said in found["reason"]


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.lists(st.integers(0, 3_000_000), min_size=24, max_size=24).filter(any),
    commitment=st.integers(0, 40_000),
    others=st.integers(0, 900),
    period=st.sampled_from(["month", "quarter", "year"]),
)
def test_a_verdict_under_a_commitment_recomputes_from_what_is_written_out(
    tokens: list[int], commitment: int, others: int, period: str
) -> None:
    """The best of all counts, by brute force: rent, overheads, and the greater of what is due and what is used."""
    costs = [*on_api(tokens)["fct_api_costs_daily"], *(other_workload(day, str(others)) for day in DAYS)]
    agreed = contract(commitment_cost=Decimal(commitment), commitment_period=period)
    tables: dict[str, Any] = {**on_api(tokens), "fct_api_costs_daily": costs, "config_contracts": [agreed]}
    found = verdict(**tables)
    length = {"month": 30, "quarter": 92, "year": 365}[period]
    committed = max(Fraction(0), (Fraction(commitment, length) - others) * len(DAYS))
    per_hour = Fraction(100 * 3600 * 85, 100)
    totals = {
        n: n * 2 * 24 * len(DAYS)
        + max(committed, Fraction(15, 10**6) * len(DAYS) * sum(max(Fraction(0), t - n * per_hour) for t in tokens))
        for n in range(12)
    }
    best = min(totals, key=lambda n: (totals[n], n))
    assert found["best_replica_count"] == best
    assert abs(Fraction(found["best_cost_rc"]) - totals[best]) < Fraction(1, 10**9)
    inputs = inputs_of(**tables)
    done = write_out(inputs)
    assert [one for one in done.equalities if not one.holds] == []
    if committed:
        assert any(line.startswith("K, what of it other traffic does not use up = ") for line in done.lines)


@given(
    agreed=st.dates(date(2020, 1, 1), date(2026, 12, 31)),
    after=st.integers(-800, 3000),
    period=st.sampled_from(["month", "quarter", "year"]),
)
def test_every_day_is_in_exactly_one_commitment_period(agreed: date, after: int, period: str) -> None:
    """Periods follow one another without a gap, the first begins when it was agreed, and the day is inside its own."""
    row = contract(agreed_from_date=agreed, commitment_period=period)
    day = agreed + timedelta(days=after)
    start, end = period_of(row, day)
    assert start <= day < end
    assert period_of(row, end)[0] == end
    assert period_of(row, start - timedelta(days=1))[1] == start
    assert period_of(row, agreed)[0] == agreed


def test_a_commitment_in_a_currency_without_a_rate_leaves_the_verdict_open() -> None:
    found = verdict(**on_api(FLAT), config_contracts=[contract(commitment_cost=Decimal(100), currency="SEK")])
    assert found["status"] == "prices_only"
    assert "the commitment to anthropic is not converted" in found["reason"]


def test_the_classes_and_modes_that_a_price_can_have_are_all_known() -> None:
    with (models_root() / "seeds" / "token_classes.csv").open(newline="", encoding="utf-8") as handle:
        assert {row["token_class"] for row in csv.DictReader(handle)} <= TOKEN_CLASSES
    assert {name for of_provider in _PRICE_KEYS.values() for name in of_provider} <= TOKEN_CLASSES
