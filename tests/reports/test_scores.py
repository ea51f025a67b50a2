"""What was carried out, expected beside realized: over the demo's own bills, against a second route in plain Python."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.decisions.graph import config_of, current_snapshot
from pipeline.landing.project import Project
from pipeline.reports.monthly import report_text
from pipeline.reports.questions import Questions
from pipeline.reports.scores import scores

from .fake_snapshot import OCTOBER
from .reading import read, section, table

RECOMMENDED, DONE = date(2026, 10, 14), date(2026, 10, 16)


def done(subject="workload:support-chat", *, ordinal=1, pool="chat-llama", on=DONE, saving="8207.788", by="ana"):
    return subject, {
        "case_key": f"{subject}#{ordinal}",
        "usage_date": RECOMMENDED.isoformat(),
        "done_at": f"{on}T09:00:00+00:00",
        "by": by,
        "pool": pool,
        "saving_rc_per_month": saving,
    }


@pytest.fixture(scope="module")
def demo(demo_folder: Path):
    project = Project(demo_folder)
    snapshot = current_snapshot(project)
    return snapshot, config_of(project, snapshot)


def scored(snapshot, *cases):
    with Questions(snapshot) as questions:
        rows = questions.ask("alert_scores", from_date=date.min, to_date=date.max).to_dicts()
    return scores(cases, rows)


def by_hand(snapshot, config, *, deployment: str):
    """Every row of the tables, added up in a loop; of API workloads those that are declared on these GPUs, on days on
    which their tokens were counted.
    """
    workloads = {one.workload for one in config.workloads if one.deployment == deployment}
    with Questions(snapshot) as questions:
        tables = {
            name: questions.select(f"select * from {name}").to_dicts()
            for name in ("fct_api_costs_daily", "fct_gpu_costs_daily", "fct_self_host_tokens_daily")
        }
        settled = {
            row["usage_date"]
            for row in questions.select("select * from fct_day_status_daily").to_dicts()
            if row["status"] == "settled"
        }
    cost: dict[date, Fraction] = defaultdict(Fraction)
    tokens: dict[date, int] = defaultdict(int)
    counted = {
        (row["usage_date"], row["workload"]) for row in tables["fct_api_costs_daily"] if row["tokens"] is not None
    }
    for row in tables["fct_api_costs_daily"]:
        if row["workload"] in workloads and (row["usage_date"], row["workload"]) in counted:
            cost[row["usage_date"]] += Fraction(row["billed_cost_rc"] or 0)
            tokens[row["usage_date"]] += row["tokens"] or 0
    for row in tables["fct_gpu_costs_daily"]:
        if row["deployment_id"] == deployment:
            cost[row["usage_date"]] += Fraction(row["realized_cost_rc"])
    for row in tables["fct_self_host_tokens_daily"]:
        if row["deployment_id"] == deployment:
            tokens[row["usage_date"]] += row["tokens"]
    before = [RECOMMENDED - timedelta(days=back) for back in range(28)]
    since = [DONE + timedelta(days=ahead + 1) for ahead in range(28)]
    before, since = ([day for day in days if day in settled and day in cost] for days in (before, since))
    old = sum((cost[day] for day in before), Fraction(0)) / sum(tokens[day] for day in before)
    saved = old * sum(tokens[day] for day in since) - sum((cost[day] for day in since), Fraction(0))
    return saved * 30 / len(since), len(since)


def test_the_realized_saving_is_that_of_a_second_route_over_the_same_tables(demo):
    snapshot, config = demo
    (one,) = scored(snapshot, done())
    expected, days = by_hand(snapshot, config, deployment="chat-llama")
    assert one.days_count == days == 28
    assert abs(Fraction(one.realized) - expected) < Fraction(1, 10**17)
    assert (one.predicted, one.by, one.why) == (Decimal("8207.788"), "ana", None)


def test_of_a_case_on_an_api_alone_the_workload_is_measured_and_of_gpus_that_serve_nothing_nothing_is(demo):
    snapshot, _ = demo
    nobodys, api = scored(
        snapshot, done("workload:coding-assistant", pool=None), done("waste:(no deployment)", pool=None)
    )
    assert nobodys.case_key == "waste:(no deployment)#1"
    assert (nobodys.realized, nobodys.why) == (None, "its GPUs serve no tokens that could be compared")
    assert api.realized is not None or api.why is not None


@pytest.mark.parametrize(
    "subject",
    ["runway:openrouter/router/USD", "overspend:2026-10/team/x", "source:a/b", "restated:2026-09", "dispute:waste:x"],
)
def test_what_saves_nothing_by_being_done_is_no_recommendation(subject):
    assert scores([done(subject, pool=None, saving=None)], []) == []


def test_said_twice_it_was_done_when_it_was_said_first_and_a_dispute_is_no_recommendation(demo):
    snapshot, _ = demo
    found = scored(snapshot, done(), done(on=DONE + timedelta(days=5)), done("dispute:workload:support-chat"))
    assert [(one.case_key, one.done_on) for one in found] == [("workload:support-chat#1", DONE)]


_CAPTION = "Recommendations that were carried out, what was expected beside what was saved"


def test_what_waste_cost_is_no_expectation_of_a_bill_and_is_added_to_none(demo):
    """Waste counts hours that bought nothing; what is realized is money: the two stand apart, each under its name."""
    snapshot, config = demo

    def page(*cases):
        return read(report_text(snapshot, config=config, quarantined=(), first_day=OCTOBER, done=cases))

    document = page(done(), done("waste:chat-llama", saving="1550"))
    waste, verdict = (list(row.values()) for row in sorted(table(document, _CAPTION), key=lambda row: row["Case"]))
    assert (waste[3], waste[4]) == ("—", "1,550.00")
    assert (verdict[3], verdict[4]) == ("8,207.79", "—")
    said = section(document, "scores").text
    assert "$8,207.79 were expected of 1 of them, which saved" in said
    assert "9,757.79" not in document.text
    assert "were expected" not in section(page(done("waste:chat-llama", saving="1550")), "scores").text


def test_the_report_has_them_beside_what_was_expected_and_no_section_where_nothing_was_done(demo):
    snapshot, config = demo

    def page(*cases):
        return read(report_text(snapshot, config=config, quarantined=(), first_day=OCTOBER, done=cases))

    late = done(ordinal=2, on=date(2026, 11, 12))  # in November: of another report
    soon = done("workload:internal-search", pool="search-qwen", on=date(2026, 10, 31), saving=None)
    document = page(done(), soon, late)
    (first, second) = table(document, _CAPTION)
    expected, _ = by_hand(snapshot, config, deployment="chat-llama")
    shown = f"{Decimal(round(expected * 100)) / 100:,.2f}"
    first, second = list(first.values()), list(second.values())
    assert first[:5] == ["workload:support-chat#1", "2026-10-14", "2026-10-16", "8,207.79", "—"]
    assert shown in first[5]
    assert second[3] == "—"
    text = section(document, "scores").text
    assert "2 recommendations were carried out" in text
    other = report_text(snapshot, config=config, quarantined=(), first_day=OCTOBER, done=(late,))
    assert other.count("What recommendations saved") == 0
