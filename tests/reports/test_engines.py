"""What engines say only together, in words that name who, how much, and what to do."""

from datetime import datetime
from decimal import Decimal

from pipeline.reports.engines import adapter_lines, per_use_lines, refused_lines, role_lines


def test_an_address_of_two_processes_is_named_with_its_time_and_what_to_do() -> None:
    row = {
        "host": "gpu-1",
        "target": "http://vllm:8000/metrics",
        "from_at": datetime.fromisoformat("2026-11-02T09:00:00"),
        "to_at": datetime.fromisoformat("2026-11-02T17:30:00"),
        "refused_count": 1,
    }
    assert refused_lines([row]) == [
        "http://vllm:8000/metrics on gpu-1: two engine processes answered in turn, 2026-11-02 09:00 to "
        "2026-11-02 17:30 UTC: 1 interval not counted. Scrape each process at its own address"
    ]


def test_prompts_that_nobody_is_seen_to_compute_are_said() -> None:
    row = {
        "deployment_id": "chat",
        "prefill_count": 1,
        "decode_count": 2,
        "role_methods": "counted",
        "prefill_prompt_tokens": 900,
        "decode_prompt_tokens": 1_000,
        "repeated_prompt_tokens": 1_000,
        "repeated_output_tokens": 7,
    }
    said = (
        "chat: 1 engine that computed prompts for 2 engines that generated (counted): 1,000 prompt and 7 generated "
        "tokens that both count are counted once"
    )
    assert role_lines([row]) == [said]
    (line,) = role_lines([{**row, "prefill_prompt_tokens": 899}])
    assert line.startswith(f"{said}; 101 prompt tokens more reached those that generate")


def test_a_deployment_of_which_one_side_is_known_says_what_to_name():
    row = {
        "deployment_id": "chat", "prefill_count": 2, "decode_count": 0, "role_methods": "declared",
        "prefill_prompt_tokens": 900, "decode_prompt_tokens": 0, "repeated_prompt_tokens": 0,
        "repeated_output_tokens": 0,
    }  # fmt: skip
    (prefill,) = role_lines([row])
    assert prefill.startswith("chat: 2 engines said to compute prompts (declared), and none of the other side is known")
    assert "name it under decode" in prefill
    (decode,) = role_lines([{**row, "prefill_count": 0, "decode_count": 1}])
    assert "1 engine said to generate" in decode
    assert "name it under prefill" in decode


def test_each_adapter_has_its_part_and_what_is_not_told_apart_its_reason() -> None:
    told = {"deployment_id": "chat", "served_as": "legal", "status": "told", "days_count": 3, "first_reason": None,
            "tokens": 2_000_000, "full_cost_rc": Decimal("3.00")}  # fmt: skip
    other = {**told, "served_as": "(not told apart)", "status": "not_told_apart", "first_reason": "no log",
             "days_count": 1, "full_cost_rc": None}  # fmt: skip
    assert adapter_lines([told, other], currency="USD") == [
        "chat, legal: 2,000,000 tokens, $3.00, $1.5000 per million",
        "chat, (not told apart): 2,000,000 tokens, an unknown cost in 1 day: no log",
    ]


def test_a_service_without_a_price_says_what_it_cost_and_what_is_missing() -> None:
    row = {"per_use_service": "burst", "days_count": 2, "full_cost_rc": Decimal("4.50"), "reason": "nothing is logged"}
    assert per_use_lines([row, {**row, "full_cost_rc": None}], currency="USD") == [
        "burst: 2 days without a price ($4.50) because nothing is logged",
        "burst: 2 days without a price because nothing is logged",
    ]
