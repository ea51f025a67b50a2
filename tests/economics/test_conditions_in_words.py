"""Whoever reaches the number that is printed, pays."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.conditions import Case, assuming, conditions, pays
from pipeline.economics.conditions_in_words import in_words

# 2,592M tokens in a month at 2.00 per 1M, every hour alike.
FLAT = Case(hourly_tokens=[3_600_000] * 720, api_cost=5184, months=1)
TWO_H100 = replace(FLAT, gpu_hour_rate=Decimal("2.5"), gpus_per_replica=2, fixed_cost_per_month=0)


def said(case: Case) -> str:
    return in_words(conditions(case), currency="USD", replica="2xH100 replica")


def test_one_unknown_is_a_condition_both_ways() -> None:
    assert said(replace(TWO_H100, self_tokens_per_api_token=1)) == (
        "Self-hosting pays if and only if one 2xH100 replica sustains at least 695 tokens/s at this mix."
    )


def test_several_unknowns_are_necessary_and_say_what_the_others_are_taken_to_be() -> None:
    assert said(replace(TWO_H100, roofline_tokens_per_second=9800, engineering_hour_rate=40)) == (
        "Self-hosting pays only if one 2xH100 replica sustains at least 695 tokens/s at this mix (roofline 9,800), a "
        "task takes at most 14.11 tokens for each token of the API and engineering takes at most 39.6 hours a month. "
        "Each is with the rest at its best: a throughput at the roofline, as many tokens a task as the API and no hour "
        "of engineering."
    )


def test_with_nothing_declared_it_says_what_may_be_paid_for_what_serves_the_peak() -> None:
    assert said(FLAT) == (
        "Self-hosting pays only if the GPUs of a replica cost at most USD 7.20 an hour and whatever else it needs "
        "costs at most USD 5,184.00 a month. Each is with the rest at its best: a replica that serves the peak of "
        "1,000 tokens/s, as many tokens a task as the API, GPUs for nothing and no fixed cost."
    )


def test_the_impossible_is_said_as_such() -> None:
    assert said(replace(TWO_H100, roofline_tokens_per_second=600)) == (
        "Self-hosting does not pay: even with a throughput at the roofline and as many tokens a task as the API it "
        "costs USD 489.60 a month more than the API; one 2xH100 replica would have to sustain 695 tokens/s, and its "
        "roofline is 600; it could if a GPU-hour costs at most USD 2.16 (USD 2.50 is declared)."
    )


def test_a_declared_throughput_above_the_roofline_is_not_believed() -> None:
    known = replace(TWO_H100, self_tokens_per_api_token=1, tokens_per_second=80_000, roofline_tokens_per_second=9176)
    assert said(known) == (
        "Self-hosting does not pay: 80,000 tokens/s are declared, and the roofline of one 2xH100 replica is 9,176."
    )


def test_a_verdict_that_stands_says_by_how_much() -> None:
    known = replace(TWO_H100, self_tokens_per_api_token=1, tokens_per_second=1000)
    assert said(known) == "Self-hosting pays: 1 replica would save USD 1,584.00 a month."
    assert said(replace(known, tokens_per_second=100)).startswith(
        "Self-hosting does not pay: it costs USD 3,081.60 a month more than the API; it would if one 2xH100 replica "
        "sustains at least 695 tokens/s at this mix (100 is declared)"
    )


@settings(max_examples=100, deadline=None)
@given(
    hours=st.lists(st.integers(1, 90_000_000), min_size=1, max_size=20),
    cost=st.integers(1, 9_000),
    rate=st.integers(1, 99).map(lambda cents: Decimal(cents) / 100),
)
def test_a_printed_throughput_pays(hours: list[int], cost: int, rate: Decimal) -> None:
    case = Case(
        hourly_tokens=hours,
        api_cost=cost,
        months=1,
        gpu_hour_rate=rate,
        gpus_per_replica=1,
        self_tokens_per_api_token=1,
        fixed_cost_per_month=0,
    )
    text = said(case)
    printed = re.search(r"at least ([\d,.]+) tokens/s", text)
    if printed is None:
        assert text.startswith("Self-hosting does not pay")
        return
    told = Decimal(printed[1].replace(",", ""))
    assert pays(assuming(case, tokens_per_second=told))
    # And asks for hardly more than it takes: a digit of three.
    assert not pays(assuming(case, tokens_per_second=told * Decimal("0.989"))) or told < Decimal("0.1")


@pytest.mark.parametrize("rate", [Decimal("7.20"), Decimal("7.21")])
def test_equal_cost_pays_and_a_cent_more_does_not(rate: Decimal) -> None:
    case = replace(
        FLAT, gpu_hour_rate=rate, gpus_per_replica=1, tokens_per_second=1000, self_tokens_per_api_token=1,
        fixed_cost_per_month=0,
    )  # fmt: skip
    assert pays(case) == (rate == Decimal("7.20"))
