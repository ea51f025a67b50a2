"""What costs unusually much as a case: opened by money, told with what fell beside it, ended when it is usual again."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alerts.anomaly_findings import anomaly_findings
from pipeline.alerts.answers import Answers
from pipeline.alerts.case import Case
from pipeline.alerts.findings import ended_findings
from pipeline.alerts.message import message_for
from pipeline.alerts.told import standing
from pipeline.economics.worth_saying import Floor

from .fake_slack import error_in
from .rows import DAY, NOW
from .test_findings import HOSTILE, announce
from .test_outbox import bot, results

FLOOR = Floor(absolute=Decimal(100), share=Decimal("0.05"))


def row(back, cost, expected="50", *, key="key_1", model="opus", **changes):
    said = {"lane": "api", "account": "acme", "sub_account_id": "ws", "api_key_id": key, "model": model}
    return {
        **said, "deployment_id": None, "team": "search", "usage_date": DAY - timedelta(days=back), "is_unusual": True,
        "cost_rc": Decimal(cost), "expected_cost_rc": Decimal(expected), "usual_distance_rc": Decimal(10),
        "history_days_count": 56, **changes,
    }  # fmt: skip


def together(back, **changes):
    nothing = dict.fromkeys(("account", "sub_account_id", "api_key_id", "model", "team"))
    return row(back, "500", "500", lane="all", **(nothing | {"is_unusual": False} | changes))


def of(*rows, day=DAY, floor=FLOOR):
    found = anomaly_findings([*rows, together(0)], day=day, floor=floor, currency="USD", teams={"llama": "search"})
    return {one.subject: one for one in found}


KEY = "anomaly:api/acme/ws/key_1"


@given(st.lists(st.integers(51, 400), min_size=1, max_size=10))
def test_a_rise_is_told_once_its_days_come_to_the_floor_together(costs):
    """A small step is told later than a large one, and is told."""
    found = of(*(row(back, str(cost)) for back, cost in enumerate(costs)))[KEY]
    above = sum(cost - 50 for cost in costs)
    assert found.opens == (above >= 100)
    assert not found.is_calm
    assert f"${above:,}.00 more than usual" in found.headline


def test_days_with_a_weekend_between_them_are_one_rise_and_older_ones_are_not():
    found = of(row(0, "120"), row(3, "120"), row(7, "900"))[KEY]
    assert found.headline == "key_1 of acme: $140.00 more than usual"
    assert "2026-01-05 to 2026-01-08 UTC, 2 days" in found.why


def test_of_two_that_cancel_the_one_that_rises_is_told_with_the_one_that_fell():
    found = of(row(0, "250"), row(0, "5", "205", key="key_2"))
    risen, fallen = found[KEY], found["anomaly:api/acme/ws/key_2"]
    assert (risen.opens, fallen.opens, fallen.is_calm) == (True, False, True)
    assert risen.why.endswith(
        "Lower on the same days: key_2 of acme by $200.00. All costs together look as they usually do."
    )


def test_a_key_that_only_changed_its_model_is_no_rise():
    found = of(row(0, "250", "0", model="opus-2"), row(0, "0", "240", model="opus-1"))[KEY]
    assert (found.opens, found.headline) == (False, "key_1 of acme: $10.00 more than usual")
    assert found.why.startswith("2026-01-08 UTC: opus-2 $250.00, where $0.00 were expected; opus-1 $0.00")


def test_the_total_is_told_only_where_none_of_its_parts_is():
    total = together(0, is_unusual=True, cost_rc=Decimal(900))
    assert [one for one, found in of(total).items() if found.opens] == ["anomaly:all"]
    assert [one for one, found in of(total, row(0, "250")).items() if found.opens] == [KEY]


def test_it_is_over_once_days_are_as_usual_again_and_ended_when_nothing_is_left(slack, events, clock):
    def told(age, *rows):
        day = DAY + timedelta(days=age)
        clock.now = NOW + timedelta(days=age)
        found = anomaly_findings([*rows, together(-age)], day=day, floor=FLOOR, currency="USD", teams={})
        found += ended_findings(events.events(), known={one.subject for one in found}, declared=(), day=day)
        return results(announce(events, bot(slack), clock, found))

    rise = row(0, "400")
    assert told(0, rise) == ["posted"]
    assert told(1, rise, row(-1, "420")) == ["updated"]
    assert told(2, rise, row(-1, "420")) == ["updated"]
    assert told(5, rise, row(-1, "420")) == ["updated"]
    assert slack.messages[0]["blocks"][0]["text"]["text"] == "Over: key_1 of acme: as usual again"
    assert standing(events.events(), clock()) == []
    assert told(20, row(-20, "400")) == ["posted"]
    assert told(60) == ["updated"]
    assert standing(events.events(), clock()) == []


def test_what_was_done_about_is_told_again_by_an_unusual_day_after_it_alone(slack, events, clock):
    def told(age, *rows):
        clock.now = NOW + timedelta(days=age)
        found = anomaly_findings(
            [*rows, together(-age)], day=DAY + timedelta(days=age), floor=FLOOR, currency="USD", teams={}
        )
        return results(announce(events, bot(slack), clock, found))

    rise = row(0, "400")
    assert told(0, rise) == ["posted"]
    clock.now = NOW + timedelta(hours=3)
    Answers(events, clock).done(KEY, by="ana")
    on_that_day = row(-1, "300")  # NOW is the day after DAY
    assert told(1, rise) == ["updated"]
    assert told(2, rise, on_that_day) == []
    assert told(3, rise, on_that_day, row(-2, "300")) == ["posted"]
    assert len(slack.messages) == 2


def test_all_together_told_first_is_not_called_as_usual_while_a_part_is_told(slack, events, clock):
    def told(*rows):
        found = anomaly_findings(rows, day=DAY, floor=FLOOR, currency="USD", teams={})
        found += ended_findings(events.events(), known={one.subject for one in found}, declared=(), day=DAY)
        return results(announce(events, bot(slack), clock, found))

    total = together(0, is_unusual=True, cost_rc=Decimal(900))
    assert told(total) == ["posted"]
    assert "updated" not in told(total, row(0, "250"))
    assert [one.case_key for one in standing(events.events(), clock())] == ["anomaly:all#1", f"{KEY}#1"]


def test_gpus_are_told_to_their_deployments_team():
    found = of(row(0, "400", lane="gpu", account="main", deployment_id="llama", api_key_id=None, model=None))
    assert found["anomaly:gpu/main/llama"].team == "search"
    assert found["anomaly:gpu/main/llama"].headline == "GPUs of llama: $350.00 more than usual"


@pytest.mark.parametrize("name", [HOSTILE, "‮" * 200, "&" * 2000, "𝔘" * 300])
def test_hostile_names_of_keys_and_models_are_inert_and_within_slacks_limits(name):
    rows = [row(0, "250", key=name, model=f"{name}{number}", account=name, team=name) for number in range(9)]
    for finding in of(*rows, row(0, "5", "900", key=f"{name}2")).values():
        case = Case(subject=finding.subject, ordinal=1, state=finding.state, previous_state=None, about=finding)
        said = message_for(case, currency="USD", company=name)
        payload = {"text": said.text, "blocks": list(said.blocks)}
        assert error_in(payload, needs_metadata=False) is None
        assert "<!channel>" not in json.dumps(payload)
        assert "‮" not in json.dumps(payload, ensure_ascii=False)
