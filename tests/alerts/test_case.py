"""What is said, and when there is something to say."""

import json
import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.alerts.case import Case, VerdictRow, cases_to_announce
from pipeline.alerts.message import BLOCK_TEXT_LIMIT, FALLBACK_LIMIT, HEADER_LIMIT, message_for
from pipeline.alerts.text import inert, money, mrkdwn, plain_text, quantity

from .fake_events import MemoryEvents
from .fake_slack import error_in, text_objects, units
from .rows import DAY, NOW, alert, verdict

GOLDEN = Path(__file__).parent / "golden"


def message(row=None, **changes):
    facts = {"subject": "workload:support-chat", "ordinal": 1, "state": "above", "previous_state": "below"}
    case = Case(about=row or verdict(), **{**facts, **changes})
    return message_for(case, currency="USD", company="Acme")


def announced(events=(), alerts=(), verdicts=(), now=NOW):
    return cases_to_announce(verdicts=verdicts, alerts=alerts, events=events, now=now)


def test_payload_of_a_decided_verdict_is_the_golden_one():
    said = message()
    payload = {"text": said.text, "blocks": list(said.blocks), "plain": said.plain.splitlines()}
    golden = json.loads((GOLDEN / "decided_case.json").read_text(encoding="utf-8"))
    assert payload == golden
    assert error_in(payload, needs_metadata=False) is None


def test_payload_of_a_verdict_that_knows_nothing_is_the_golden_one():
    """B4: what is unknown is called unknown, never 0."""
    known = ("usage_date", "workload", "status")
    nothing = {name: None for name in VerdictRow.__dataclass_fields__ if name not in known}
    said = message(verdict(**nothing))
    payload = {"text": said.text, "blocks": list(said.blocks), "plain": said.plain.splitlines()}
    golden = json.loads((GOLDEN / "unknown_case.json").read_text(encoding="utf-8"))
    assert payload == golden
    assert error_in(payload, needs_metadata=False) is None
    assert "$0" not in said.plain


def test_message_says_what_why_when_money_volume_and_how_to_check():
    plain = message().plain
    for fact in (
        "Do: Move to self-hosting. Best: 1 replica of llama-70b",
        "Now: the API",
        "The state changed from below to above, as of 2026-01-08 UTC",
        "each month of waiting costs about $5,363.62",
        "Saving $5,363.62 a month",
        "as it is $10,105.81, API only $10,267.30",
        "Traffic 66.7M tokens/day; first break-even 43.6M tokens/day",
        "stays cheaper from 51.2M tokens/day",
        "Capacity 4.30M tokens per replica-hour, declared",
        "API price $5.50 per 1M tokens, realized",
        "GPU rate $2.49 per GPU-hour, billed",
        "breakeven explain verdict support-chat --date 2026-01-08",
        "settled data up to 2026-01-08 UTC",
    ):
        assert fact in plain


def test_observed_capacity_says_at_least():
    plain = message(verdict(capacity_basis="best_observed_hour")).plain
    assert "Capacity at least 4.30M tokens per replica-hour, the best hour seen" in plain
    assert "how much more than the best hour seen" in plain


def test_break_even_that_does_not_exist_is_not_one_that_is_unknown():
    none = {"breakeven_first_tokens_per_day": None, "breakeven_stable_tokens_per_day": None}
    assert "no break-even at any volume" in message(verdict(**none)).plain
    assert "break-even unknown" in message(verdict(**none, api_price_rc_per_mtok=None)).plain


def test_no_hourly_evidence_is_said_instead_of_a_replica_count():
    assert "there is no hourly evidence" in message(verdict(best_replica_count=None)).plain


def test_message_has_no_clock_and_no_float_noise():
    assert message() == message()
    assert "$0.30 per 1M tokens" in message(verdict(api_price_rc_per_mtok=0.1 + 0.2)).plain


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (Decimal("1790"), "USD", "$1,790.00"),
        (Decimal("-3.005"), "USD", "−$3.00"),
        (Decimal("-0.001"), "USD", ">−0.01 USD"),
        (Decimal("0.00"), "USD", "$0.00"),
        (Decimal("1234567.891"), "EUR", "€1,234,567.89"),
        (Decimal("1234.5"), "JPY", "¥1,234"),
        (None, "USD", "unknown"),
    ],
)
def test_money_has_the_minor_units_of_its_currency(amount, currency, said):
    assert money(amount, currency) == said


def test_price_shows_the_digits_it_has():
    assert money(Decimal("0.0375"), "USD", most_decimals=4) == "$0.0375"
    assert money(Decimal("3.10"), "USD", most_decimals=4) == "$3.10"
    assert money(Decimal("3.105"), "USD", most_decimals=4) == "$3.105"


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0"), (999_999, "999,999"), (66_700_000, "66.7M"), (2_310_000_000, "2.31B"), (123_456_000_000, "123B")],
)
def test_quantity_has_three_digits_from_a_million_up(count, said):
    assert quantity(count) == said


# When there is something to say


def test_change_of_state_opens_one_case():
    alerts = [alert(usage_date=DAY - timedelta(days=1), state="below", is_fired=False), alert()]
    [case] = announced(alerts=alerts, verdicts=[verdict()])
    assert (case.key, case.state, case.previous_state) == ("workload:support-chat#1", "above", "below")


def test_state_that_never_changed_says_nothing():
    alerts = [alert(usage_date=DAY - timedelta(days=back), state="below", is_fired=False) for back in (2, 1, 0)]
    assert announced(alerts=alerts, verdicts=[verdict()]) == []


def test_state_that_changed_and_changed_back_before_a_run_says_nothing():
    alerts = [
        alert(usage_date=DAY - timedelta(days=9), state="below", is_fired=False),
        alert(usage_date=DAY - timedelta(days=5)),
        alert(state="below"),
    ]
    assert announced(alerts=alerts, verdicts=[verdict()]) == []


@pytest.mark.parametrize("frozen", [{"is_frozen": True}, {"state": None}, {"state": "not_settled"}])
def test_frozen_day_never_announces(frozen):
    """B28: a partial or unsettled day fires nothing."""
    alerts = [alert(usage_date=DAY - timedelta(days=1), state="below", is_fired=False), alert(**frozen)]
    verdicts = [verdict(), verdict(usage_date=DAY - timedelta(days=1))]
    assert announced(alerts=alerts, verdicts=verdicts) == []


@pytest.mark.parametrize("status", ["not_settled", "pinned"])
def test_unsettled_verdict_never_announces(status):
    """B28: a data problem is not a cost event."""
    assert announced(alerts=[alert()], verdicts=[verdict(status=status)]) == []


def test_state_without_a_verdict_never_announces():
    assert announced(alerts=[alert()], verdicts=[verdict(usage_date=DAY - timedelta(days=1))]) == []


def test_settled_change_is_announced_though_later_days_are_open():
    tomorrow = alert(usage_date=DAY + timedelta(days=1), is_frozen=True, is_fired=False)
    [case] = announced(alerts=[alert(), tomorrow], verdicts=[verdict()])
    assert case.usage_date == DAY
    assert "1 later day, not settled yet" in message_for(case, currency="USD", company="Acme").plain


def test_older_snapshot_does_not_contradict_what_was_announced():
    events = MemoryEvents()
    body = {"ordinal": 1, "state": "above", "usage_date": "2026-01-08", "previous_state": "below"}
    events.record(kind="message.posted", subject="workload:support-chat", body=body, now=NOW)
    yesterday = DAY - timedelta(days=1)
    stale = announced(
        events=events.events(),
        alerts=[alert(usage_date=yesterday, state="below")],
        verdicts=[verdict(usage_date=yesterday)],
    )
    assert stale == []


def test_cases_come_in_order_of_subject():
    names = ["zeta", "alpha", "mid"]
    cases = announced(
        alerts=[alert(workload=name) for name in names], verdicts=[verdict(workload=name) for name in names]
    )
    assert [case.about.workload for case in cases] == ["alpha", "mid", "zeta"]


# Hostile names

HOSTILE = [
    "<!channel> <!here> <!everyone>",
    "<@U012AB3CD> <#C0COSTS00> <!subteam^S0123>",
    "<https://evil.example|your invoice>",
    "&lt;!channel&gt;",
    "*bold* _italic_ ~gone~ `code` ```block```",
    "@channel @here #general :rotating_light:",
    "line one\nDo: pay evil\r\n> quote",
    "\u202eesrever\u2066 \u200bzero\u200d width\ufeff",
    "\x1b[31mred\x1b[0m \x00 \x07 \x9b31m",
    "\ud800 lone surrogate",
    "=HYPERLINK(1)",
    "x" * 5000,
    "&" * 5000,
    "😀" * 3000,
    "'; drop table x; --",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_comes_out_inert(name):
    row = verdict(
        workload=name, team=name, reason=name, deployment_id=name, api_price_basis=name, gpu_rate_basis=name,
        recommendation=name, current_lane=name,
    )  # fmt: skip
    said = message(row, subject=f"workload:{name}", state=name, previous_state=name, acknowledged_by=name)
    payload = json.loads(json.dumps({"text": said.text, "blocks": list(said.blocks)}))
    assert error_in(payload, needs_metadata=False) is None
    texts = [said.text, *(part["text"] for block in said.blocks for part in text_objects(block))]
    header = said.blocks[0]["text"]["text"]
    for text in texts:
        assert "<" not in text
        assert ">" not in text
        if text != header:
            assert "&" not in text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
        assert not re.search("&(lt|gt);", header)
        outside_code = re.sub("`[^`]*`", "", text)
        assert "@channel" not in outside_code
        assert ":rotating_light:" not in outside_code
    for text in [said.plain, *texts]:
        assert not set(text) & set("\u202e\u2066\u200b\u200d\ufeff\x1b\x00\x07\x9b\r\ud800")
        text.encode("utf-8")
    labels = [line.split(":")[0] for line in said.plain.splitlines()[1:]]
    assert labels[:8] == ["Do", "Why", "By when", "At stake", "Break-even", "How sure", "Unknown", "Check"]
    assert len(said.plain.splitlines()) == 10


@pytest.mark.parametrize("name", HOSTILE)
def test_only_our_own_words_are_bold_or_code(name):
    said = message(verdict(reason=name, workload=name))
    sections = [block["text"]["text"] for block in said.blocks if block["type"] == "section"]
    outside_code = [re.sub("`[^`]*`", "", text) for text in sections]
    assert sum(text.count("*") for text in outside_code) == 2 * 8
    assert sum(text.count("`") for text in sections) == 2


def test_ordinary_names_are_left_as_they_are():
    for name in ("support_chat-v2", "team:search/eu", "R2-D2 (prod) 100%", "Übersetzung 翻訳", "ops@acme.example"):
        assert mrkdwn(name, 80) == name
        assert inert(name, 80) == name


@pytest.mark.parametrize("limit", range(2, 14))
def test_cut_never_splits_an_entity_or_passes_the_limit(limit):
    for text in ("a<b&c>d<e", "😀<😀&😀", "<" * 30, "plain text that is long"):
        cut = mrkdwn(text, limit)
        assert units(cut) <= limit
        assert "&" not in cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
        assert units(plain_text(text, limit)) <= limit


def test_text_that_just_fits_is_not_cut():
    assert mrkdwn("a" * 10, 10) == "a" * 10
    assert mrkdwn("a" * 11, 10) == "a" * 9 + "…"


def test_limits_are_slacks():
    assert (BLOCK_TEXT_LIMIT, HEADER_LIMIT, FALLBACK_LIMIT) == (3000, 150, 3000)


def test_rows_are_read_from_a_mart_with_more_columns():
    row = dict.fromkeys(VerdictRow.__dataclass_fields__)
    row |= {"usage_date": date(2026, 1, 8), "workload": "w", "status": "decided", "another_column": 1}
    assert VerdictRow.from_row(row).workload == "w"
