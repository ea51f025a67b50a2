"""LiteLLM's daily activity: pages that add up, days by provider, and what of a day is of no provider."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import QuarantineError, SourceError
from pipeline.sources.litellm_activity import SOURCE, TABLE, drop, fetch, parse
from pipeline.sources.recognise import recognise_bytes
from tests.models.cloud_harness import cloud_graph
from tests.pipeline.small_project import COST_API, SmallProject, api_page, cost_result, source
from tests.sources.admin_api import KEY, Answer, Sleeps, context, serving

START = datetime(2026, 11, 1, tzinfo=UTC)
BILLS = {"anthropic": "main", "openai": None}


def day(date: str, *, whole: float | None = None, **spent: float) -> dict[str, Any]:
    """A day as `DailySpendData` spells it."""

    def metrics(spend: float) -> dict[str, Any]:
        return {
            "spend": spend, "flat_cost": 0.0, "ptu_hours": 0.0, "prompt_tokens": 1000, "completion_tokens": 50,
            "cache_read_input_tokens": 10, "cache_creation_input_tokens": 0, "total_tokens": 1050,
            "successful_requests": 3, "failed_requests": 0, "api_requests": 3,
        }  # fmt: skip

    providers = {
        name: {"metrics": metrics(spend), "metadata": {}, "api_key_breakdown": {}} for name, spend in spent.items()
    }
    total = sum(spent.values()) if whole is None else whole
    models = {"claude-haiku-4-5": {"metrics": metrics(total), "metadata": {}, "api_key_breakdown": {}}}
    return {"date": date, "metrics": metrics(total), "breakdown": {"models": models, "providers": providers}}


def answered(*days: dict[str, Any], page: int = 1, pages: int = 1) -> bytes:
    metadata = {"total_spend": 0.0, "page": page, "total_pages": pages, "has_more": page < pages}
    return json.dumps({"results": list(days), "metadata": metadata}).encode()


@dataclass
class Proxy:
    """A gateway whose answers are these pages; `faults` come first."""

    pages: list[list[dict[str, Any]]]
    faults: list[Answer] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    never_ends: bool = False
    repeats: bool = False
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Any) -> Answer:
        self.asked.append(dict(params))
        if self.faults:
            return self.faults.pop(0)
        if path != "/user/daily/activity" or headers.get("authorization") != f"Bearer {KEY}":
            return Answer(status=401, body=b"{}")
        page = 1 if self.repeats else int(dict(params)["page"])
        days = self.pages[min(page, len(self.pages)) - 1]
        return Answer(body=answered(*days, page=page, pages=page + 1 if self.never_ends else len(self.pages)))


def _fetched(proxy: Proxy, *, sleeps: Sleeps | None = None) -> Any:
    with serving(proxy) as api:
        (found,) = fetch(context(api, from_at=START, sleeps=sleeps))
    return found


def test_a_window_is_all_of_its_pages_and_what_they_say_of_a_day_adds_up() -> None:
    """B9."""
    proxy = Proxy([[day("2026-11-03", openai=0.25, anthropic=1.5)], [day("2026-11-03", anthropic=0.5)]])
    found = _fetched(proxy)
    assert [(asked["start_date"], asked["end_date"], asked["page"]) for asked in proxy.asked] == [
        ("2026-11-01", "2026-11-15", "1"), ("2026-11-01", "2026-11-15", "2"),
    ]  # fmt: skip
    rows = [row for one in found.payloads for row in parse(one.content, found.settings)[TABLE.name].to_dicts()]
    assert [(row["custom_llm_provider"], row["spend"]) for row in rows] == [
        ("openai", "0.25"), ("anthropic", "1.5"), ("anthropic", "0.5"),
    ]  # fmt: skip
    assert (rows[0]["prompt_tokens"], rows[0]["api_requests"]) == (1000, 3)
    assert json.loads(rows[0]["other_columns"]) == {"successful_requests": 3, "total_tokens": 1050}


def test_what_a_day_has_beyond_its_providers_is_a_row_of_none() -> None:
    """Nothing is dropped in silence; sums of floats that differ in their last digits leave nothing over."""
    content = answered(day("2026-11-03", whole=2.0, openai=0.25), day("2026-11-04", openai=0.1, anthropic=0.2))
    rows = parse(content, {})[TABLE.name].to_dicts()
    assert [(row["custom_llm_provider"], Decimal(row["spend"])) for row in rows] == [
        ("openai", Decimal("0.25")), (None, Decimal("1.75")), ("openai", Decimal("0.1")), ("anthropic", Decimal("0.2")),
    ]  # fmt: skip


def test_throttling_is_waited_for_and_pages_that_do_not_end_are_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeps = Sleeps()
    _fetched(Proxy([[]], faults=[Answer(status=429, headers={"retry-after": "3"})]), sleeps=sleeps)
    assert sleeps.seconds == [3]
    monkeypatch.setattr("pipeline.sources.litellm_activity._MOST_PAGES", 4)
    with pytest.raises(SourceError, match="the pages of 2026-11-01 to 2026-11-15 do not end"):
        _fetched(Proxy([[]], never_ends=True))
    with pytest.raises(SourceError, match="page 2 of 2026-11-01 to 2026-11-15 was asked for, and another answered"):
        _fetched(Proxy([[day("2026-11-03", openai=0.25)], []], repeats=True))
    with pytest.raises(SourceError, match="a key of a LiteLLM proxy admin"):
        _fetched(Proxy([[]], faults=[Answer(status=403, body=b"{}")]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "no answer of LiteLLM's daily activity"),
        (answered(day("2026-11-03"), page=2, pages=2), "one of several pages"),
        (answered(day("2026-11-03"), pages=2), "one of several pages"),
        (answered(day("2026-11-03"), day("2026-11-03")), "stands in the page twice"),
        (answered(day("2026-11-03", openai=1e15)), "more than any gateway rates"),
        (answered({"date": "2026-11-03", "metrics": {"spend": 1}}), "breakdown: no object"),
        (answered({"date": "2026-11-03", "metrics": {}, "breakdown": {}}), "spend is missing"),
    ],
)
def test_what_is_no_whole_answer_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        parse(content, {})


def test_a_saved_answer_stands_beside_the_bill_it_estimates_and_is_in_no_sum(tmp_path: Path) -> None:
    """B13, B16: rated is never billed."""
    saved = answered(day("2026-11-01", anthropic=1.5), day("2026-11-02", anthropic=1.0, openai=9.0))
    assert recognise_bytes("a.json", saved).source == SOURCE.name
    assert drop("a.json", saved, {}).to_at == datetime(2026, 11, 3, tzinfo=UTC)
    project = SmallProject(
        tmp_path, [source(COST_API, "main"), source("litellm_activity", "gateway", settings={"bills": BILLS})]
    )
    project.drop(
        COST_API, "main", "a.json", api_page({at: [cost_result("100")] for at in ("2026-11-01", "2026-11-02")})
    )
    project.drop("litellm_activity", "gateway", "a.json", saved)
    assert [one.error for one in project.ingest()] == [None, None]
    answers = project.build(graph=cloud_graph(["fct_control_differences_daily", "int_estimated_charges_daily"]))
    rows = answers.rows(
        "select usage_date, book_cost, control_cost from fct_control_differences_daily where status = 'compared' "
        "order by usage_date"
    )
    assert [(row["book_cost"], row["control_cost"]) for row in rows] == [
        (Decimal("1"), Decimal("1.5")), (Decimal("1"), Decimal("1")),
    ]  # fmt: skip
    assert answers.rows("select sum(rated_cost) as rated from int_estimated_charges_daily")[0]["rated"] == Decimal(
        "11.5"
    )
