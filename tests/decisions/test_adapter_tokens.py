"""Adapters of one deployment, told apart by a gateway's log: parts add up to what engines count and what it cost."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decisions import adapter_tokens

Row = Mapping[str, Any]
DAY = date(2026, 11, 2)
ALWAYS = {"valid_from_date": None, "valid_to_date": None}
CLASSES = ("input_cache_read", "input_uncached", "output")


def built(
    tokens: Mapping[str, int],
    logs: Sequence[tuple[str, int, int]],
    *,
    adapters: Sequence[str] = ("legal", "support"),
    costs: Mapping[str, str | None] | None = None,
) -> list[dict[str, Any]]:
    """tokens: by class, of the deployment `chat`. logs: (model as the gateway names it, prompt, completion)."""

    def by_day(rows: list[Row]) -> dict[date, list[Row]]:
        return {DAY: rows} if rows else {}

    of_day = {"usage_date": DAY, "deployment_id": "chat"}
    money = {name: None if cost is None else Decimal(cost) for name, cost in (costs or {}).items()}
    inputs: dict[str, Any] = {
        "this_partition": pl.DataFrame({"from_date": [date(2026, 11, 1)], "to_date": [date(2026, 12, 1)]}),
        "config_deployment_adapters": [{"deployment_id": "chat", "adapter": name, **ALWAYS} for name in adapters],
        "config_deployment_served_names": [{"deployment_id": "chat", "served_name": "llama", **ALWAYS}],
        "fct_self_host_tokens_daily": by_day([
            *({**of_day, "token_class": name, "tokens": count} for name, count in tokens.items()),
            {"usage_date": DAY, "deployment_id": "other", "token_class": "output", "tokens": 99},
        ]),
        "fct_unit_costs_daily": by_day([
            {**of_day, "token_class": name, "full_cost_rc": cost} for name, cost in money.items()
        ]),
        "stg_litellm_spend_logs__usage_hourly": by_day([
            {"usage_date": DAY, "raw_model": name, "prompt_tokens": prompt, "completion_tokens": completion}
            for name, prompt, completion in logs
        ]),
    }  # fmt: skip
    return adapter_tokens.build(inputs).to_dicts()


@settings(max_examples=150, deadline=None)
@given(
    logged=st.lists(
        st.tuples(st.sampled_from(["legal", "support", "llama", "somebody-else"]), st.integers(0, 10**9),
                  st.integers(0, 10**9)), min_size=1, max_size=8),
    share=st.integers(0, 100),
    drift=st.tuples(st.integers(-8, 8), st.integers(-8, 8)),
    costs=st.tuples(*[st.integers(-10**9, 10**12)] * 3),
)  # fmt: skip
def test_the_parts_are_the_deployments_tokens_and_its_cost_in_the_gateways_proportions(
    logged: list[tuple[str, int, int]], share: int, drift: tuple[int, int], costs: tuple[int, int, int]
) -> None:
    """Whatever the gateway's count differs from the engines', nothing is lost and nothing is there twice."""
    own = [(name, prompt, completion) for name, prompt, completion in logged if name != "somebody-else"]
    # Within a tenth: the engines count a little more or less.
    prompts, completions = (sum(row[place] for row in own) * (100 + drift[place - 1]) // 100 for place in (1, 2))
    cached = prompts * share // 100
    tokens = {"input_cache_read": cached, "input_uncached": prompts - cached, "output": completions}
    amounts = {name: str(Decimal(cost).scaleb(-6)) for name, cost in zip(CLASSES, costs, strict=True)}
    rows = built(tokens, logged, costs=amounts)
    for name in CLASSES:
        parts = [row for row in rows if row["token_class"] == name]
        assert sum(row["tokens"] for row in parts) == tokens[name]
        assert sum(row["full_cost_rc"] for row in parts) == Decimal(amounts[name])
        assert len({row["adapter"] for row in parts}) == len(parts)
    if not own or not all(row["status"] == "told" for row in rows):
        # Where what was logged is so little that rounding is a tenth of it, or nothing is of the deployment.
        assert not own or min(prompts, completions) < 100
        assert {row["adapter"] for row in rows} == {None}
        return
    for row in rows:
        place = 2 if row["token_class"] == "output" else 1
        names = {"llama"} if row["adapter"] is None else {row["adapter"]}
        whole = sum(entry[place] for entry in own)
        if whole:
            fair = Fraction(tokens[row["token_class"]] * sum(e[place] for e in own if e[0] in names), whole)
            assert abs(row["tokens"] - fair) < 1


def test_a_day_that_the_gateway_saw_in_part_is_one_deployment_and_says_so() -> None:
    rows = built({"input_uncached": 1000, "output": 100}, [("support", 1000, 80)], costs={"output": "2.5"})
    assert {(row["adapter"], row["status"]) for row in rows} == {(None, "not_told_apart")}
    assert {row["reason"] for row in rows} == {
        "the gateway's log has 80 completion tokens of the day, its engines count 100"
    }
    assert {row["token_class"]: (row["tokens"], row["full_cost_rc"]) for row in rows} == {
        "input_uncached": (1000, None),
        "output": (100, Decimal("2.5")),
    }
    (row,) = built({"output": 5}, [("somebody-else", 5, 5)])
    assert row["reason"] == "no gateway's log of the day names the deployment or one of its adapters"


def test_without_a_declared_adapter_nothing_is_read_or_said() -> None:
    assert built({"output": 5}, [("support", 0, 5)], adapters=()) == []


def test_an_unknown_cost_is_unknown_of_each_adapter() -> None:
    rows = built({"output": 100}, [("support", 0, 60), ("legal", 0, 40)], costs={"output": None})
    assert [(row["adapter"], row["tokens"], row["full_cost_rc"]) for row in rows] == [
        ("legal", 40, None), ("support", 60, None), (None, 0, None),
    ]  # fmt: skip
