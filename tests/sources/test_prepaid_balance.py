"""Balances that providers' APIs answer: the figure and nothing else of it, dated by the answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import group
from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources.ingest import ingest
from pipeline.sources.prepaid_balance import SOURCE, TABLE, check, drop, fetch, parse
from tests.pipeline.small_project import SmallProject, source
from tests.sources.admin_api import KEY, NOW, Answer, Sleeps, context, serving
from tests.sources.small_bills import openrouter_answer, openrouter_row

ANSWERS: Mapping[str, tuple[str, Any]] = {
    "openrouter": ("/api/v1/credits", {"data": {"total_credits": 100.5, "total_usage": 25.75}}),
    "deepseek": (
        "/user/balance",
        {
            "is_available": True,
            "balance_infos": [
                {
                    "currency": currency,
                    "total_balance": total,
                    "granted_balance": "10.00",
                    "topped_up_balance": "100.00",
                }
                for currency, total in (("CNY", "110.00"), ("USD", "0.00"))
            ],
        },
    ),
    "runpod": ("/graphql", {"data": {"myself": {"clientBalance": 12.000000001}}}),
    "vast": (
        "/api/v0/users/current/",
        {"id": 7, "email": "somebody@acme.example", "api_key": "NEVER-KEEP-ME", "credit": -3.25, "balance": 0},
    ),
}


@dataclass
class Provider:
    """One provider's API. `faults` are answered first."""

    name: str
    answer_of: Any = None
    faults: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.asked.append((path, params))
        if self.faults:
            return self.faults.pop(0)
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer(status=401, body=b'{"error": {"message": "unauthorized"}}')
        return Answer(body=json.dumps(ANSWERS[self.name][1] if self.answer_of is None else self.answer_of).encode())


def fetched(provider: Provider, *, sleeps: Sleeps | None = None, **said: Any) -> Fetched:
    settings = {"provider": provider.name, **said.pop("settings", {})}
    with serving(provider) as api:
        (delivery,) = fetch(context(api, sleeps=sleeps, **{**settings, **said}))
    return delivery


def rows(delivery: Fetched) -> list[dict[str, Any]]:
    (payload,) = delivery.payloads
    frame = parse(payload.content, delivery.settings)[TABLE.name]
    assert dict(frame.schema) == TABLE.schema
    return frame.to_dicts()


@pytest.mark.parametrize(
    ("name", "balances", "issuer"),
    [
        ("openrouter", [("74.75", "USD")], "openrouter"),
        ("deepseek", [("110.00", "CNY"), ("0.00", "USD")], "deepseek"),
        ("runpod", [("12.000000001", "USD")], "acme"),
        ("vast", [("-3.25", "USD")], "acme"),
    ],
)
def test_each_provider_is_asked_once_and_the_figure_alone_is_kept(
    name: str, balances: list[tuple[str, str]], issuer: str
) -> None:
    provider = Provider(name)
    delivery = fetched(provider)
    assert [path for path, _ in provider.asked] == [ANSWERS[name][0]]
    found = rows(delivery)
    assert [(row["balance"], row["currency"]) for row in found] == balances
    assert {(row["issuer"], row["provider"], row["read_at"]) for row in found} == {
        (issuer, name, NOW.replace(tzinfo=None))
    }
    (payload,) = delivery.payloads
    for secret in (KEY, "somebody@acme.example", "NEVER-KEEP-ME"):
        assert secret not in payload.content.decode() + str(delivery.settings) + str(delivery.request)


def test_a_reading_is_of_the_day_whose_end_is_nearest() -> None:
    """06:00 is six hours after the 14th ended; 13:00 is eleven before the 15th does."""
    delivery = fetched(Provider("runpod"))
    assert {row["usage_date"] for row in rows(delivery)} == {date(2026, 11, 14)}
    assert (delivery.stated_at, delivery.stated_by) == (NOW, "http_date")
    later = {**delivery.settings, "read_at": "2026-11-15T13:00:00Z"}
    (payload,) = delivery.payloads
    (row,) = parse(payload.content, later)[TABLE.name].to_dicts()
    assert (row["usage_date"], row["bucket"]) == (date(2026, 11, 15), "2026-11-15T13:00:00Z acme")


@pytest.mark.parametrize("said", ["Fri, 31 Dec 9999 23:59:59 GMT", "Tue, 15 Jan 2030 06:00:00 GMT"])
def test_a_server_whose_clock_is_ahead_moves_no_reading_to_a_day_to_come(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """It would be the newest until that day."""
    monkeypatch.setattr("tests.sources.admin_api.SERVER_DATE", said)
    delivery = fetched(Provider("runpod"))
    assert {row["read_at"] for row in rows(delivery)} == {NOW.replace(tzinfo=None)}
    assert (delivery.stated_at, delivery.stated_by) == (None, "landed_at")


def test_whose_bill_it_pays_can_be_said() -> None:
    assert {row["issuer"] for row in rows(fetched(Provider("vast"), settings={"issuer": "vast-invoices"}))} == {
        "vast-invoices"
    }


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("openrouter", {"data": {"total_credits": 1}}),
        ("openrouter", {"data": {"total_credits": "much", "total_usage": 1}}),
        ("deepseek", {"balance_infos": [{"currency": "USD", "total_balance": None}]}),
        ("deepseek", {"balance_infos": 3}),
        (
            "deepseek",
            {
                "balance_infos": [
                    {
                        "currency": "USD",
                        "total_balance": "1",
                        "granted_balance": {"key": "sk-1"},
                        "topped_up_balance": "1",
                    }
                ]
            },
        ),
        ("runpod", {"errors": [{"message": "not allowed"}], "data": None}),
        ("runpod", {"data": {"myself": {"clientBalance": None}}}),
        ("vast", []),
    ],
)
def test_an_answer_without_its_figure_is_asked_for_again_and_never_a_balance_of_0(name: str, answer: Any) -> None:
    """Missing is not zero."""
    with pytest.raises(SourceError, match="not of the form that this API gives, 6 times"):
        fetched(Provider(name, answer_of=answer))


def test_a_limit_is_waited_out_and_a_wrong_key_is_said_without_the_key() -> None:
    sleeps = Sleeps()
    provider = Provider("runpod", faults=[Answer(status=429, headers={"Retry-After": "9"}), Answer(status=502)])
    assert len(rows(fetched(provider, sleeps=sleeps))) == 1
    assert sleeps.seconds == [9.0, 2.0]
    assert len({str(asked) for asked in provider.asked}) == 1
    with pytest.raises(SourceError, match="a management key") as refused:
        fetched(Provider("openrouter"), environment={"ACME_ADMIN_KEY": "sk-NEVER-PRINT-ME"})
    assert "NEVER-PRINT-ME" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "settings", "words"),
    [
        ({"total_credits": 1}, {}, "It is no reading of a balance"),
        ({"format": "breakeven.prepaid_balance/1", "figures": {}}, {"provider": "runpod"}, "settings.issuer None"),
        (
            {"format": "breakeven.prepaid_balance/1", "figures": {"clientBalance": 1}},
            {"provider": "runpod", "issuer": "x"},
            "read_at is missing",
        ),
        (
            {"format": "breakeven.prepaid_balance/1", "figures": {"clientBalance": 10**15}},
            {"provider": "runpod", "issuer": "x", "read_at": "2026-11-03T06:00:00Z"},
            "more than any account holds",
        ),
        (
            {"format": "breakeven.prepaid_balance/1", "figures": [{"currency": "usd"}]},
            {"provider": "deepseek", "issuer": "x", "read_at": "2026-11-03T06:00:00Z"},
            "other figures than it did .KeyError.",
        ),
    ],
)
def test_what_is_no_reading_is_refused(content: Any, settings: dict[str, str], words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        parse(json.dumps(content).encode(), settings)


def test_a_saved_answer_has_no_moment_and_is_refused() -> None:
    content = json.dumps(ANSWERS["vast"][1]).encode()
    with pytest.raises(QuarantineError, match="give the source a key"):
        parse(content, drop("balance.json", content, {"provider": "vast"}).settings)


def test_whom_to_ask_has_to_be_said() -> None:
    check({"provider": "runpod"}, ())
    for said, key in (
        ({}, "provider"),
        ({"provider": "xai"}, "provider"),
        ({"provider": "vast", "issuer": 3}, "issuer"),
    ):
        with pytest.raises(ConfigError, match=rf"settings\.{key}"):
            check(said, ())


def test_doctor_asks_for_the_balance_once() -> None:
    assert SOURCE.probe is not None
    provider = Provider("runpod")
    with serving(provider) as api:
        (probe,) = SOURCE.probe(context(api, provider="runpod"))
        assert probe.ask(5).access == "allowed"
    assert [path for path, _ in provider.asked] == ["/graphql"]


def test_a_balance_is_read_and_the_difference_to_what_was_billed_is_named(tmp_path: Path) -> None:
    """By hand: 80 written down, 0.35 billed, 74.75 read six hours after the day: 4.90 nobody explains."""
    sources = [
        source("openrouter_activity", "router"),
        source("prepaid_csv", "router", settings={"issuer": "openrouter"}),
        {"source": "prepaid_balance", "account": "router", "settings": {"provider": "openrouter"}},
    ]
    with serving(Provider("openrouter")) as api:
        sources[2] |= {"key_env": "OPENROUTER_MANAGEMENT_KEY", "base_url": api.base_url}
        project = SmallProject(tmp_path, sources)
        row = openrouter_row(date="2026-11-14 00:00:00")
        project.drop("openrouter_activity", "router", "activity.json", openrouter_answer(row))
        entries = b"date,entry,amount,currency\n2026-11-13,balance,80.00,USD\n2026-11-14,balance,79.65,USD\n"
        project.drop("prepaid_csv", "router", "credits.csv", entries)
        opened, now = project.project, datetime(2026, 11, 17, 6, tzinfo=UTC)
        opened.land_config(now)
        brought = ingest(opened, now=now, environment={"OPENROUTER_MANAGEMENT_KEY": KEY}, sleep=Sleeps())
    assert [one.error for one in brought] == [None, None, None]
    answers = project.build(now=now)
    assert project.quarantine() == []
    (row,) = answers.rows("select * from fct_prepaid_balances_daily where usage_date = '2026-11-14'")
    names = ("closing_balance_cost", "written_balance_cost", "read_balance_cost", "unexplained_cost")
    assert [str(row[name].normalize()) for name in names] == ["74.75", "79.65", "74.75", "-4.9"]
    asked = ["costs", "--project", str(project.folder), "--from", "2026-11-13", "--to", "2026-11-16"]
    told = CliRunner().invoke(group, asked, env={"COLUMNS": "300"})
    said = " ".join(told.output.replace("│", " ").split())
    assert "$74.75 read 2026-11-15 06:00 UTC, $79.65 written down" in said
