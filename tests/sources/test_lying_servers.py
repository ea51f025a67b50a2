"""Servers that ignore what they are asked: dates, tokens, ends. Whatever they answer, a fetch ends, and each day counts
as what it truly cost or not at all.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import boto3
import pytest

from pipeline.errors import QuarantineError, SourceError
from pipeline.landing.current import current_buckets
from pipeline.landing.dataset import datasets_by_name
from pipeline.landing.landing import as_delivery
from pipeline.landing.records import Delivery
from pipeline.landing.times import DAY, day_start
from pipeline.sources import SOURCES, source_named
from pipeline.sources.source import Source
from tests.pipeline.small_project import cost_result, usage_result
from tests.sources import fireworks, mistral
from tests.sources import test_aws_invoices as aws
from tests.sources import test_digitalocean_invoices as digitalocean
from tests.sources import test_litellm_activity as activity
from tests.sources import test_runpod_billing as runpod
from tests.sources import test_vast_charges as vast
from tests.sources.admin_api import NOW, AdminApi, Answer, Api, context, serving
from tests.sources.openai_admin_api import OpenAIAdminApi
from tests.sources.test_anthropic_enterprise_costs import result

START = datetime(2026, 11, 9, tzinfo=UTC)
DAYS = [START.date() + DAY * number for number in range(7)]
# Another window than the one that is asked for, and as APIs spell it.
OTHER = [date(2026, 9, 1) + DAY * number for number in range(7)]
IN_UNIX = [int(day_start(day).timestamp()) for day in (OTHER[0], OTHER[-1])]
STARTING_AT = {"starting_at": f"{OTHER[0]}T00:00:00Z", "ending_at": f"{OTHER[-1]}T00:00:00Z"}
START_TIME = {"start_time": str(IN_UNIX[0]), "end_time": str(IN_UNIX[1])}
LATER = [DAYS[-1] + DAY * number for number in (10, 16)]
STARTING_LATER = {"starting_at": f"{LATER[0]}T00:00:00Z", "ending_at": f"{LATER[1]}T00:00:00Z"}
START_LATER = {
    name: str(int(day_start(day).timestamp())) for name, day in zip(("start_time", "end_time"), LATER, strict=True)
}
MOST_PAGES = 12
# Of none of these sources an honest server is asked so often.
MOST_QUESTIONS = 7 * MOST_PAGES

Said = dict[str, Any]
Ask = Callable[..., Said]
Lie = Callable[[Mapping[str, Any], Ask], Said]


def _next_page(answer: Said, token: str | None) -> None:
    answer |= {"has_more": token is not None, "next_page": token}


def _next_token(answer: Said, token: str | None) -> None:
    answer["next_token"] = token


def _next_page_token(answer: Said, token: str | None) -> None:
    answer["nextPageToken"] = token or ""


def _aws_token(answer: Said, token: str | None) -> None:
    answer |= {"NextToken": token}


def _has_more(answer: Said, token: str | None) -> None:
    """As a gateway would that does not say which page this is."""
    answer["metadata"] = {"has_more": token is not None}


def _link(answer: Said, token: str | None) -> None:
    answer["links"] = {"pages": {} if token is None else {"next": "https://elsewhere.example"}}


@dataclass(frozen=True)
class Dialect:
    """An honest server of a source, and how its API says what is asked for and what follows.

    `days`: days -> the server; `other`: what makes a question one of another window (None: the server's days do).
    `token`: what names the next page in a question, `first`: what it says of the first; `rows`: what an answer calls
    its rows; `follow(answer, token)`: make it say that this page comes next, or (None) none. `amount`: the column that
    adds up.
    """

    source: str
    days: Callable[[Sequence[date]], Any]
    amount: str
    other: Mapping[str, Any] | None = None
    token: str | None = None
    rows: tuple[str, ...] = ()
    follow: Callable[[Said, str | None], None] = _next_page
    first: str | None = None
    start: datetime = START
    settings: Mapping[str, Any] = field(default_factory=dict)


def _aws(days: Sequence[date]) -> aws.Invoicing:
    return aws.Invoicing([aws.summary(f"{day}-{number}", "1.50", month=f"{day:%Y-%m}") for day in days[:1]
                          for number in range(5)])  # fmt: skip


def _mistral(days: Sequence[date]) -> mistral.Mistral:
    used = mistral.used(input=[mistral.entry("input", day.day, day=f"{day}") for day in days])
    said = mistral.month(used, **mistral.days(days[0].year, days[0].month))
    return mistral.Mistral({(str(START.month), str(START.year)): said})


DIALECTS = [
    Dialect(
        "anthropic_cost_api",
        lambda days: AdminApi(lambda at: [cost_result(f"{at.day}.5")][: len(days)], largest_limit=2),
        "amount", STARTING_AT, "page", ("data",),
    ),
    Dialect(
        "anthropic_usage_api",
        lambda days: AdminApi(lambda at: [usage_result(output_tokens=at.day)][: len(days)], largest_limit=30),
        "output_tokens", STARTING_AT, "page", ("data",),
    ),
    Dialect(
        "anthropic_enterprise_costs",
        lambda days: AdminApi(lambda at: [result(f"{at.day}.5")][: len(days)], largest_limit=2),
        "amount", STARTING_AT, "page", ("data",),
    ),
    Dialect(
        "openai_costs_api",
        lambda days: OpenAIAdminApi(
            lambda _, at: [{"amount": {"value": at.day + 0.5, "currency": "usd"}}][: len(days)], largest_page=2
        ),
        "amount", START_TIME, "page", ("data",),
    ),
    Dialect(
        "openai_usage_api",
        lambda days: OpenAIAdminApi(
            lambda _, at: [{"input_tokens": at.day, "model": "gpt-5"}][: len(days)], largest_page=30
        ),
        "input_tokens", START_TIME, "page", ("data",),
        settings={"leave_out": [one.name for source in SOURCES if source.name == "openai_usage_api"
                                for one in source.datasets[1:]]},
    ),
    Dialect(
        "fireworks_costs",
        lambda days: fireworks.Fireworks([fireworks.cost_row(f"{day}", f"{day.day}.25") for day in days], page_rows=2),
        "amount", None, "pageToken", ("rows",), _next_page_token, settings={"account_id": "acme-team"},
    ),
    Dialect(
        "vast_charges",
        lambda days: vast.Vast(
            {at: [vast.row(number, at=at) for number in range(5)]
             for at in (int(day_start(day).timestamp()) for day in (*days, *OTHER))}, most=2,
        ),
        "amount", {"select_filters": json.dumps({"day": {"gte": IN_UNIX[0], "lte": IN_UNIX[0]}})},
        "after_token", ("results",), _next_token,
    ),
    Dialect(
        "litellm_activity",
        lambda days: activity.Proxy([[activity.day(f"{day}", openai=0.25, anthropic=float(day.day))] for day in days]),
        "spend", None, "page", ("results",), _has_more, "1",
    ),
    Dialect(
        "digitalocean_invoices", lambda _: digitalocean.DigitalOcean(most=1), "amount", None, "page",
        ("invoices", "invoice_items"), _link, "1", datetime(2026, 10, 1, tzinfo=UTC),
    ),
    Dialect(
        "aws_invoices", _aws, "total_amount", {"Filter": {"BillingPeriod": {"Year": 2026, "Month": 9}}}, "NextToken",
        ("InvoiceSummaries",), _aws_token, settings={"account_id": aws.PAYER},
    ),
    Dialect(
        "runpod_billing",
        lambda days: runpod.RunPod([{**runpod.POD, "time": f"{day}T00:00:00Z"} for day in days], [], []), "billed_cost",
    ),
    Dialect("mistral_usage", _mistral, "amount"),
]  # fmt: skip
PAGED = [one for one in DIALECTS if one.token is not None]


@dataclass
class Lying:
    """An honest server behind somebody who answers for it. `lie(question, ask)`: what is answered; `ask(name=value)`
    is what the honest one answers to the question with that changed, or (None) left out.
    """

    honest: Api
    lie: Lie
    questions: int = 0
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.questions += 1
        if self.questions > MOST_QUESTIONS:
            return Answer(status=418, body=b'{"error": {"message": "this fetch does not end"}}')
        is_body = "body" in dict(params)
        question = json.loads(dict(params)["body"]) if is_body else dict(params)

        def ask(**changed: Any) -> Any:
            if is_body:
                whole = {name: value for name, value in {**question, **changed}.items() if value is not None}
                asked = [("body", json.dumps(whole))]
            else:
                asked = [(name, value) for name, value in params if name not in changed]
                asked += [(name, value) for name, value in changed.items() if value is not None]
            answered = self.honest.answer(path, asked, headers)
            assert answered.status == 200
            return json.loads(answered.body)

        return Answer(body=json.dumps(self.lie(question, ask)).encode())


# --- lies -------------------------------------------------------------------------------------------------------------


def honest(_: Dialect) -> Lie:
    return lambda question, ask: ask()


def ignores_the_dates(dialect: Dialect) -> Lie:
    return lambda question, ask: ask(**(dialect.other or {}))


def the_first_page_for_ever(dialect: Dialect) -> Lie:
    return lambda question, ask: ask(**{str(dialect.token): dialect.first})


def the_first_page_under_ever_new_tokens(dialect: Dialect) -> Lie:
    tokens = iter(range(10**6))

    def lie(question: Mapping[str, Any], ask: Ask) -> Said:
        answer = ask(**{str(dialect.token): dialect.first})
        if _is_paged(dialect, answer):
            dialect.follow(answer, f"new-{next(tokens)}")
        return answer

    return lie


def the_first_page_again_as_the_last(dialect: Dialect) -> Lie:
    def lie(question: Mapping[str, Any], ask: Ask) -> Said:
        answer = ask(**{str(dialect.token): dialect.first})
        if _is_paged(dialect, answer) and question.get(str(dialect.token)) != dialect.first:
            dialect.follow(answer, None)
        return answer

    return lie


def empty_pages_under_ever_new_tokens(dialect: Dialect) -> Lie:
    tokens = iter(range(10**6))

    def lie(question: Mapping[str, Any], ask: Ask) -> Said:
        answer = ask(**{str(dialect.token): dialect.first})
        return _emptied(dialect, answer, f"new-{next(tokens)}") if _is_paged(dialect, answer) else answer

    return lie


def an_empty_page_in_the_midst(dialect: Dialect) -> Lie:
    """Which is no end, where something follows it."""
    name = str(dialect.token)

    def lie(question: Mapping[str, Any], ask: Ask) -> Said:
        token = question.get(name)
        if token == dialect.first:
            return ask()
        if dialect.first is not None and token is not None:
            number = int(token)
            return _emptied(dialect, ask(**{name: "1"}), "2") if number == 2 else ask(**{name: str(number - 1)})
        if token is not None and not token.startswith("after-"):
            return _emptied(dialect, ask(), f"after-{token}")
        return ask(**{name: token and token.removeprefix("after-")})

    return lie


def _is_paged(dialect: Dialect, answer: Said) -> bool:
    return any(name in answer for name in dialect.rows)


def _emptied(dialect: Dialect, answer: Said, token: str) -> Said:
    for name in {*dialect.rows} & {*answer}:
        answer[name] = []
    dialect.follow(answer, token)
    return answer


# --- what counts ------------------------------------------------------------------------------------------------------


def fetched(dialect: Dialect, api: Lying) -> tuple[dict[str, Decimal], str | None]:
    """Bucket -> what counts of it after a fetch, as landing decides; and what the fetch says that it did not bring."""
    source = source_named(dialect.source)
    assert source is not None
    assert source.fetch is not None
    landed: list[tuple[Delivery, Sequence[bytes]]] = []
    said = None
    with serving(api):
        try:
            for one in source.fetch(context(api, from_at=dialect.start, **dialect.settings)):
                assert one.request, "every fetch says what it asked for"
                delivery = as_delivery(one, source=source.name, account="acme", now=NOW)
                landed.append((delivery, [payload.content for payload in one.payloads]))
        except SourceError as error:
            said = str(error)
    assert "does not end" not in str(said), said
    return _booked(source, landed, dialect.amount), said


def _booked(source: Source, landed: Sequence[tuple[Delivery, Sequence[bytes]]], amount: str) -> dict[str, Decimal]:
    dataset = source.datasets[0]
    sums: dict[str, dict[str, Decimal]] = {}
    unreadable: dict[str, str] = {}
    for delivery, pages in landed:
        found = sums.setdefault(delivery.delivery_id, {})
        try:
            for page in pages:
                frame = dataset.parse(page, delivery.settings)[dataset.tables[0].name]
                for bucket, said in frame.select("bucket", amount).iter_rows():
                    found[bucket] = found.get(bucket, Decimal(0)) + Decimal(str(said))
        except QuarantineError as error:
            unreadable[delivery.delivery_id] = str(error)
    current, _ = current_buckets(
        [delivery for delivery, _ in landed],
        datasets=datasets_by_name([dataset]),
        rows_per_bucket={one: dict.fromkeys(found, 1) for one, found in sums.items()},
        unreadable=unreadable,
    )
    return {key.bucket: sums[one.delivery.delivery_id].get(key.bucket, Decimal(0)) for key, one in current.items()}


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "http",
        "fireworks_costs",
        "vast_charges",
        "litellm_activity",
        "digitalocean_invoices",
        "aws_invoices",
    ):
        monkeypatch.setattr(f"pipeline.sources.{name}._MOST_PAGES", MOST_PAGES)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", aws.SECRET)


_TRUTHS: dict[str, dict[str, Decimal]] = {}


def told_honestly(dialect: Dialect) -> dict[str, Decimal]:
    if dialect.source in _TRUTHS:
        return _TRUTHS[dialect.source]
    truth, said = fetched(dialect, Lying(dialect.days(DAYS), honest(dialect)))
    assert said is None
    assert any(truth.values())
    return _TRUTHS.setdefault(dialect.source, truth)


def _name(one: Any) -> str:
    return one.source if isinstance(one, Dialect) else one.__name__


@pytest.mark.parametrize("dialect", DIALECTS, ids=_name)
def test_an_answer_of_other_days_than_those_asked_for_counts_for_none(dialect: Dialect) -> None:
    """B9, B10: neither as theirs, nor as if these had cost nothing."""
    truth = told_honestly(dialect)
    if dialect.source == "digitalocean_invoices":
        return  # It is asked for invoices by their names, and for no days.
    days = OTHER if dialect.other is None else DAYS
    found, _ = fetched(dialect, Lying(dialect.days(days), ignores_the_dates(dialect)))
    assert found == {}
    assert truth


@pytest.mark.parametrize("is_later", [False, True], ids=["earlier", "later"])
@pytest.mark.parametrize("dialect", [one for one in DIALECTS if one.rows == ("data",)], ids=_name)
def test_an_answer_of_other_days_on_which_nothing_was_used_counts_for_none(dialect: Dialect, is_later: bool) -> None:
    """B9: its buckets say of which days they are, also where nothing is in them."""
    assert set(fetched(dialect, Lying(dialect.days([]), honest(dialect)))[0].values()) == {Decimal(0)}
    if is_later:
        of_later = STARTING_LATER if "starting_at" in (dialect.other or {}) else START_LATER
        dialect = replace(dialect, other=of_later)
    found, said = fetched(dialect, Lying(dialect.days([]), ignores_the_dates(dialect)))
    assert found == {}
    assert "which was not asked for" in str(said), "what did not land is asked for again"


@pytest.mark.parametrize(
    "lie",
    [
        the_first_page_for_ever,
        the_first_page_under_ever_new_tokens,
        the_first_page_again_as_the_last,
        empty_pages_under_ever_new_tokens,
    ],
    ids=_name,
)
@pytest.mark.parametrize("dialect", PAGED, ids=_name)
def test_pages_that_are_not_those_asked_for_count_once_or_not_at_all(
    dialect: Dialect, lie: Callable[[Dialect], Lie]
) -> None:
    """B9."""
    truth = told_honestly(dialect)
    found, said = fetched(dialect, Lying(dialect.days(DAYS), lie(dialect)))
    assert found.items() <= truth.items(), said


@pytest.mark.parametrize("dialect", PAGED, ids=_name)
def test_an_empty_page_with_something_behind_it_is_no_end(dialect: Dialect) -> None:
    """B12. Where pages are numbered it is another page than the one that was asked for, and may be refused."""
    truth = told_honestly(dialect)
    found, said = fetched(dialect, Lying(dialect.days(DAYS), an_empty_page_in_the_midst(dialect)))
    assert found.items() <= truth.items()
    assert dialect.first is not None or (found, said) == (truth, None)


def test_every_source_that_is_asked_for_days_or_pages_has_been_lied_to() -> None:
    """What is not asked for either has nothing to ignore; what is listed on S3 or a disk is what boto3 or the disk
    lists (`tests/sources/test_aws_cur2.py`), and samples of Prometheus carry their own time.
    """
    elsewhere = {"aws_cur", "aws_cur2", "focus", "azure_cost_details", "ecb_rates", "openrouter_activity", "owned_gpus",
                 "prepaid_balance", "prometheus"}  # fmt: skip
    asked = {source.name for source in SOURCES if source.fetch is not None}
    assert {one.source for one in DIALECTS} == asked - elsewhere
