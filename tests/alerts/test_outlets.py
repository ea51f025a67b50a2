"""Webhooks, Teams, Discord and e-mail: each case once an outlet, uncertain where nobody can know, text as text."""

import html
import json
import logging
import re
from datetime import UTC, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.alerts.answers import Answers
from pipeline.alerts.attempts import GRACE
from pipeline.alerts.case import Case
from pipeline.alerts.finding import Finding
from pipeline.alerts.message import message_for
from pipeline.alerts.outlets import (
    DiscordOutlet,
    JsonOutlet,
    MailOutlet,
    TeamsOutlet,
    as_html,
    discord_text,
    outlet_of,
)
from pipeline.alerts.problems import open_problems
from pipeline.alerts.sending import AlertError
from pipeline.alerts.text import utf16_units
from pipeline.alerts.view import OutletEvents
from pipeline.config.file import parse_config
from pipeline.doctor.slack import outlet_findings
from pipeline.errors import ConfigError
from pipeline.mail import MailServer
from tests.fake_smtp import smtp_server

from .fake_webhook import DROP_AFTER_ACCEPTING, SECRET_PATH, Answer, error_in_discord, error_in_teams, serving_webhook
from .rows import DAY, alert, verdict
from .test_findings import HOSTILE, runway
from .test_outbox import SUBJECT, announce, bot, outbox, results

KINDS = {"webhook": JsonOutlet, "teams": TeamsOutlet, "discord": DiscordOutlet}


@pytest.fixture(params=sorted(KINDS))
def hook(request):
    with serving_webhook(request.param) as running:
        yield running


def outlet(hook):
    return KINDS[hook.kind](url=hook.url, timeout_seconds=5)


def later(days=1):
    """Other figures of the same state, some days on."""
    day = DAY + timedelta(days=days)
    return {
        "verdicts": [verdict(usage_date=day, demand_tokens_per_day=71_000_000)],
        "alerts": [alert(), alert(usage_date=day, is_fired=False)],
    }


def test_twenty_runs_tell_it_once_and_discord_alone_is_edited(hook, events, clock):
    for _ in range(20):
        announce(events, outlet(hook), clock)
        clock.pass_time(hours=1)
    assert [method for method, _ in hook.requests] == ["POST"]
    assert (len(hook.messages), hook.rejections) == (1, [])
    edited = results(announce(events, outlet(hook), clock, **later()))
    assert edited == (["updated"] if hook.kind == "discord" else [])
    assert ("71.0M" in json.dumps(hook.messages)) == (hook.kind == "discord")
    assert len(hook.messages) == 1


def test_dropped_after_it_was_taken_it_is_held_and_not_sent_again(hook, events, clock):
    hook.answers = [DROP_AFTER_ACCEPTING]
    first = results(announce(events, outlet(hook), clock))
    for _ in range(5):
        clock.pass_time(hours=5)
        first += results(announce(events, outlet(hook), clock))
    assert first == ["held"] * 6
    assert len(hook.messages) == 1
    (problem,) = open_problems(events.events())
    assert "The other side may or may not have taken the message" in problem.detail
    assert "set on_uncertain: repost on that outlet" in problem.detail
    assert "lack" not in problem.detail


def test_where_a_repost_is_wished_for_it_is_sent_again_after_the_grace(hook, events, clock):
    hook.answers = [DROP_AFTER_ACCEPTING]
    assert results(announce(events, outlet(hook), clock, on_uncertain="repost")) == ["uncertain"]
    clock.pass_time(seconds=GRACE.total_seconds())
    assert results(announce(events, outlet(hook), clock, on_uncertain="repost")) == ["posted"]
    assert len(hook.messages) == 2
    assert open_problems(events.events()) == []


@pytest.mark.parametrize("status", [500, 502, 503, 408])
def test_a_server_that_fails_may_have_taken_it(hook, events, clock, status):
    hook.answers = [Answer(status, is_accepted=True)]
    assert results(announce(events, outlet(hook), clock)) == ["held"]
    assert len(hook.messages) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(429, headers=(("Retry-After", "7"),)),
        Answer(429, body=json.dumps({"message": "You are being rate limited.", "retry_after": 6.2})),
    ],
)
def test_to_wait_is_waited_for_within_the_run(hook, events, clock, answer):
    hook.answers = [answer]
    assert results(announce(events, outlet(hook), clock)) == ["posted"]
    assert clock.slept_seconds == [7]
    assert len(hook.messages) == 1


@pytest.mark.parametrize(("code", "result", "slept"), [(429, "posted", [30]), (413, "refused", []), (502, "held", [])])
def test_what_teams_says_in_an_answer_of_200_is_believed(events, clock, code, result, slept):
    """A connector answers for itself; what Teams made of it stands in the text."""
    with serving_webhook("teams") as hook:
        said = (
            f"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {code} with ..."
        )
        hook.answers = [Answer(200, body=said)]
        assert results(announce(events, outlet(hook), clock)) == [result]
        assert (clock.slept_seconds, len(hook.messages)) == (slept, len(slept))


@pytest.mark.parametrize(("status", "says"), [(404, "Check the webhook"), (401, "Check"), (301, "not followed")])
def test_a_webhook_that_is_gone_is_said_and_tried_again_by_a_later_run(hook, events, clock, status, says):
    hook.answers = [Answer(status, headers=(("Location", "http://127.0.0.1:1/"),))]
    (outcome,) = announce(events, outlet(hook), clock)
    assert outcome.result == "refused"
    assert says in outcome.detail
    assert results(announce(events, outlet(hook), clock)) == ["posted"]
    assert [method for method, _ in hook.requests] == ["POST", "POST"]


def test_discord_that_does_not_say_which_message_it_is_leaves_it_uncertain(events, clock):
    with serving_webhook("discord") as hook:
        hook.answers = [Answer(200, body='{"id": "1/../../x"}', is_accepted=True)]
        assert results(announce(events, outlet(hook), clock)) == ["held"]


def test_a_post_that_somebody_deleted_in_discord_holds_back_no_other_and_its_case_still_ends(events, clock):
    """A webhook that is gone answers 404 too; its code says which."""
    gone = Answer(404, body='{"message": "Unknown Message", "code": 10008}')
    with serving_webhook("discord") as hook:
        announce(events, outlet(hook), clock, **of_two(0))
        hook.answers = [gone]
        assert results(announce(events, outlet(hook), clock, **of_two(1))) == ["refused", "updated"]
        assert results(announce(events, outlet(hook), clock, **of_two(2))) == ["updated"]
        hook.answers = [Answer(404, body='{"message": "Unknown Webhook", "code": 10015}')]
        assert results(announce(events, outlet(hook), clock, **of_two(3))) == ["refused"]
        assert results(announce(events, outlet(hook), clock, **of_two(3))) == ["updated"]


def of_two(days):
    """Two workloads that are as they were, some days on, with other figures."""
    day = DAY + timedelta(days=days)
    return {
        "verdicts": [verdict(workload=name, usage_date=day, demand_tokens_per_day=days) for name in "ab"],
        "alerts": [
            one for name in "ab" for one in (alert(workload=name), alert(workload=name, usage_date=day, is_fired=False))
        ],
    }


def test_no_connection_is_surely_nothing_sent_and_told_once_a_run(events, clock):
    gone = JsonOutlet(url="http://127.0.0.1:9/hooks/very-secret-part", timeout_seconds=2)
    rows = {"verdicts": [verdict(workload=name) for name in "ab"], "alerts": [alert(workload=name) for name in "ab"]}
    assert results(announce(events, gone, clock, **rows)) == ["refused", "deferred"]


def test_the_url_is_in_no_event_log_outcome_or_name(hook, events, clock, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for answer in (DROP_AFTER_ACCEPTING, Answer(500), Answer(404)):
        hook.answers = [answer]
        said = announce(events, outlet(hook), clock, verdicts=[verdict(workload=str(answer.status))],
                        alerts=[alert(workload=str(answer.status))])  # fmt: skip
        whole = f"{said}{events.events()}{outlet(hook)!r}{caplog.text}{capfd.readouterr()}"
        assert SECRET_PATH.rpartition("/")[2] not in whole


# Several outlets


def test_each_outlet_is_told_each_case_once_by_itself_and_what_people_say_holds_for_all(slack, events, clock):
    with serving_webhook() as hook:
        views = {None: bot(slack), "finance": JsonOutlet(url=hook.url), "ops": JsonOutlet(url=hook.url)}

        def run(**said):
            return {
                name: results(announce(OutletEvents(events, name=name), one, clock, **said))
                for name, one in views.items()
            }

        hook.answers = [Answer(404)]  # of finance, which comes first
        assert run() == {None: ["posted"], "finance": ["refused"], "ops": ["posted"]}
        (problem,) = open_problems(events.events())
        assert problem.in_words.startswith(f"{SUBJECT}#1 to finance: It refuses")
        assert run() == {None: [], "finance": ["posted"], "ops": []}
        assert open_problems(events.events()) == []
        assert run() == {None: [], "finance": [], "ops": []}
        assert (len(slack.messages), len(hook.messages)) == (1, 2)
        Answers(events, clock).snooze(SUBJECT, until=clock() + timedelta(days=3), by="ana")
        below = {"verdicts": [verdict(usage_date=DAY + timedelta(days=1))],
                 "alerts": [alert(usage_date=DAY + timedelta(days=1), state="below")]}  # fmt: skip
        assert run(**below) == {None: [], "finance": [], "ops": []}
        clock.pass_time(days=3)
        assert run(**below) == {None: ["posted"], "finance": ["posted"], "ops": ["posted"]}


# E-mail


@pytest.fixture
def server(tmp_path):
    with smtp_server(tmp_path) as double:
        yield double


def letters(double, clock, *to):
    return MailOutlet(
        server=MailServer(host="127.0.0.1", port=double.port, security="none"), sender="breakeven@example.com",
        recipients=to or ("ana@example.com",), now=clock, timeout_seconds=5,
    )  # fmt: skip


def test_a_letter_a_case_with_the_same_text_for_every_reader(server, events, clock):
    for _ in range(3):
        announce(events, letters(server, clock), clock)
    [found] = server.received
    assert found.message["Subject"] == "support-chat: move to self-hosting"
    plain = found.message.get_body(("plain",)).get_content()
    rich = found.message.get_body(("html",)).get_content()
    shown = html.unescape(re.sub("<[^>]*>", "\n", rich))
    for line in plain.splitlines():
        label, _, text = line.partition(": ")
        assert line in shown or (label in shown and text in shown)
    assert found.message["Date"].datetime.astimezone(UTC) == clock()


def test_a_letter_whose_answer_is_lost_is_held_and_a_second_one_would_be_a_copy(server, events, clock):
    server.hangs_up = {"."}
    assert results(announce(events, letters(server, clock), clock)) == ["held"]
    clock.pass_time(days=1)
    assert results(announce(events, letters(server, clock), clock)) == ["held"]
    assert len(server.received) == 1
    server.hangs_up = set()
    assert results(announce(events, letters(server, clock), clock, on_uncertain="repost")) == ["posted"]
    first, second = server.received
    assert first.message["Message-ID"] == second.message["Message-ID"]


def test_who_the_server_refuses_is_named_and_the_others_get_no_second_letter(server, events, clock):
    server.answers = {"RCPT bo@example.com": "550 no such user"}
    (outcome,) = announce(events, letters(server, clock, "ana@example.com", "bo@example.com"), clock)
    assert outcome.result == "posted"
    assert "bo@example.com (550 no such user)" in outcome.detail
    assert announce(events, letters(server, clock, "ana@example.com", "bo@example.com"), clock) == []


def test_a_server_that_refuses_the_letter_has_it_tried_again(server, events, clock):
    server.answers = {"MAIL": "451 try later"}
    assert results(announce(events, letters(server, clock), clock)) == ["refused"]
    server.answers = {}
    assert results(announce(events, letters(server, clock), clock)) == ["posted"]


# Text as text

MARKUP = "**a** __b__ [x](http://evil.invalid) <at>all</at> <script>alert(1)</script> `c` ~~d~~ # e > f || g || :a:"


def message(name):
    about = verdict(workload=name, team=name, reason=name)
    case = Case(subject=f"workload:{name}", ordinal=1, state="above", previous_state=name, about=about)
    return message_for(case, currency="USD", company=name)


@pytest.mark.parametrize(
    "name",
    [
        HOSTILE, MARKUP, "@everyone @here <@1> <#2> <@&3>", "\\" * 3000, "𝔘" * 2000, "*" * 3000, "\x00\u202e\n",
        "𝔘" * 20 + "*" * 40,
    ],
)  # fmt: skip
def test_hostile_names_are_inert_and_within_each_outlets_limits(name):
    said = message(name)
    discord = DiscordOutlet(url="http://x")._payload(said, "c")
    teams = TeamsOutlet(url="http://x")._payload(said, "c")
    assert error_in_discord(discord, b"") is None
    assert error_in_teams(teams, json.dumps(teams).encode()) is None
    for embed in discord["embeds"]:
        for text in (embed["title"], *(one["value"] for one in embed["fields"])):
            # Whatever is markup to Discord has a backslash of its own before it.
            assert re.sub(r"\\[\\*_~`|>#\[\]()<@:\-+]", "", text).strip("…").count("@") == 0
            assert not re.search(r"[\\*_~`|>#\[\]()<@:]", re.sub(r"\\.", "", text))
    page = as_html(said)
    assert re.findall(r"<(?!/?(?:p|b|h2|html|body|!doctype)\b)", page) == []
    assert "\u202e" not in f"{page}{json.dumps([discord, teams], ensure_ascii=False)}"


@settings(max_examples=60)
@given(st.text(max_size=60), st.integers(2, 80))
@example("𝔘" * 6, 10)
def test_what_discord_shows_is_what_was_written(text, limit):
    shown = discord_text(text, limit)
    assert utf16_units(shown) <= limit
    read = re.sub(r"\\([\\*_~`|>#\[\]()<@:\-+])", r"\1", shown)
    assert read == text or (read.endswith("…") and text.startswith(read[:-1]))


@pytest.mark.parametrize("name", ["𝔘" * 500, "é" * 5000, "x" * 5000])
def test_the_longest_digest_fits_into_a_card_and_an_embed(name):
    held = []
    for number in range(20):
        about = verdict(workload=f"{number}{name}", team=name)
        held.append(
            Case(subject=f"workload:{number}{name}", ordinal=1, state="above", previous_state=None, about=about)
        )
    digest = Finding.of_several(subject="digest:webhook", usage_date=DAY, team=None)
    case = Case(subject="digest:webhook", ordinal=1, state="told", previous_state=None, about=digest, holds=tuple(held))
    said = message_for(case, currency="USD", company=name)
    teams = TeamsOutlet(url="http://x")._payload(said, "c")
    assert error_in_teams(teams, json.dumps(teams).encode()) is None
    assert error_in_discord(DiscordOutlet(url="http://x")._payload(said, "c"), b"") is None


def test_what_somebody_took_note_of_is_no_message_that_may_not_have_arrived(hook, events, clock):
    hook.answers = [Answer(404)]
    announce(events, outlet(hook), clock)
    assert len(open_problems(events.events())) == 1
    Answers(events, clock).acknowledge(SUBJECT, by="ana")
    assert open_problems(events.events()) == []


def test_what_is_cut_for_discord_never_ends_in_half_an_escape():
    assert [discord_text("ab*cd", limit) for limit in (4, 5, 6)] == ["ab…", "ab\\*…", "ab\\*cd"]


# Doctor


def test_doctor_says_of_each_outlet_whether_it_is_set_and_shows_no_url():
    said = parse_config(
        SAID
        + "- {name: ops, kind: teams, url_env: OPS}\n- {name: gone, kind: discord, url_env: GONE}\n"
        + "- {name: odd, kind: webhook, url_env: ODD}\n"
        + "- {name: mail, kind: email, to: [a@example.com]}\n"
        + "mail: {host: 127.0.0.1, from: b@example.com, password_env: SMTP}\n"
    )
    environment = {"OPS": "https://x.invalid/very-secret-part", "ODD": "very-secret-part"}
    found = outlet_findings(said, environment=environment)
    assert [(one.subject, one.state) for one in found] == [
        ("teams ops", "ok"), ("discord gone", "fix"), ("webhook odd", "fix"), ("email mail", "fix"),
    ]  # fmt: skip
    assert "GONE is not set" in found[1].said
    assert "SMTP" in found[3].said
    assert "very-secret" not in str(found)


# Configuration

SAID = "company: Acme\noutlets:\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {name: a, kind: teams}", "environment variable"),
        ("- {name: a, kind: email, to: x@example.com}", "`mail`"),
        ("- {name: a, kind: teams, url_env: A}\n- {name: a, kind: discord, url_env: B}", "Rename one"),
        ("- {name: a, kind: pager, url_env: A}", "pager"),
    ],
)
def test_an_outlet_that_could_tell_nobody_is_refused_where_it_is_written(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_config(SAID + text)


@pytest.mark.parametrize(
    "value",
    [
        "ftp://x/y", "https:///y", "https://x:99999/y", "http://[::1/y", "https://x/é", "hooks/very-secret-part",
        "https://a..example/y", f"https://{'a' * 64}.example/y", "https://ana:very-secret@x/y",
    ],
)  # fmt: skip
def test_a_variable_that_holds_no_url_is_refused_without_being_shown(value):
    said = parse_config(f"{SAID}- {{name: a, kind: teams, url_env: A_URL}}").outlets[0]
    with pytest.raises(AlertError, match="A_URL") as raised:
        outlet_of(said, None, environment={"A_URL": value})
    assert value not in str(raised.value)
    assert outlet_of(said, None, environment={}) is None


def test_what_runs_out_goes_to_every_outlet_in_quiet_hours_too(hook, events, clock):
    assert results(outbox(events, outlet(hook), clock).announce(verdicts=[], alerts=[], findings=runway(2))) == [
        "posted"
    ]
