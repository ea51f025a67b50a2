"""AWS's invoices by month: pages, throttling and refusals of its JSON protocol, and what each summary comes to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.sources.aws_invoices import SOURCE, TABLE, check, drop, fetch, parse, recognise
from tests.sources.admin_api import Answer, Sleeps, context, serving

PAYER = "111122223333"
SECRET = "wJalrEXAMPLEKEY"
OCTOBER = {"billing_period": "2026-10"}


def summary(
    invoice: str = "2181117685", total: str = "15.78", *, month: str = "2026-10", **said: Any
) -> dict[str, Any]:
    """One invoice as the service writes it: amounts as text, moments in seconds since 1970."""
    year, number = month.split("-")
    return {
        "AccountId": PAYER,
        "InvoiceId": invoice,
        "IssuedDate": 1793664000.0,
        "DueDate": 1793664000.0,
        "Entity": {"InvoicingEntity": "Amazon Web Services, Inc.", "BillingEntity": "AWS"},
        "BillingPeriod": {"Month": int(number), "Year": int(year)},
        "InvoiceType": "INVOICE",
        "BillType": "ANNIVERSARY",
        "OriginalInvoiceId": "",
        "PurchaseOrderNumber": "",
        "BaseCurrencyAmount": {
            "TotalAmount": total, "TotalAmountBeforeTax": "14.42", "CurrencyCode": "USD",
            "AmountBreakdown": {"SubTotalAmount": "14.42", "Taxes": {"TotalAmount": "1.36"}},
        },
        "PaymentCurrencyAmount": {
            "TotalAmount": "13.63", "CurrencyCode": "EUR",
            "CurrencyExchangeDetails": {"SourceCurrencyCode": "USD", "TargetCurrencyCode": "EUR", "Rate": "0.86400"},
        },
        **said,
    }  # fmt: skip


def answered(*summaries: Mapping[str, Any], token: str | None = None) -> bytes:
    return json.dumps({"InvoiceSummaries": list(summaries), **({"NextToken": token} if token else {})}).encode()


@dataclass
class Invoicing:
    """The operation, two summaries a page. `faults` are answered first."""

    summaries: list[dict[str, Any]]
    faults: list[Answer] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    base_url: str = ""
    page: int = 2
    repeats_token: bool = False

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        question = json.loads(dict(params)["body"])
        self.asked.append(question)
        if self.faults:
            return self.faults.pop(0)
        assert headers["x-amz-target"] == "Invoicing.ListInvoiceSummaries"
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/")
        assert question["Selector"] == {"ResourceType": "ACCOUNT_ID", "Value": PAYER}
        of_month = [one for one in self.summaries if one["BillingPeriod"] == question["Filter"]["BillingPeriod"]]
        start = int(question.get("NextToken", "0"))
        more = start + self.page < len(of_month)
        token = "0" if self.repeats_token else str(start + self.page) if more else None
        return Answer(body=answered(*of_month[start : start + self.page], token=token))


def refused(code: str, status: int = 400) -> Answer:
    return Answer(status=status, body=json.dumps({"__type": code, "message": f"not with {SECRET}"}).encode())


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of now: a process that has asked AWS before with others keeps none of these."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session("AKIAEARLIER", "earlier", region_name="eu-west-1"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def _fetched(
    api: Invoicing, *, sleeps: Sleeps | None = None, start: datetime = datetime(2026, 10, 9, tzinfo=UTC)
) -> Any:
    with serving(api) as served:
        return list(fetch(context(served, from_at=start, sleeps=sleeps, account_id=PAYER)))


def test_a_month_is_one_delivery_of_all_its_pages_as_they_came() -> None:
    """B9: the end of a page is not the end of a month."""
    api = Invoicing([summary(f"I-{number}", "1.50") for number in range(5)] + [summary("N-1", "2", month="2026-11")])
    october, november = _fetched(api)
    assert [len(one.payloads) for one in (october, november)] == [3, 1]
    assert (october.settings, november.settings) == (OCTOBER, {"billing_period": "2026-11"})
    assert (october.from_at, october.to_at) == (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
    assert october.stated_at == datetime(2026, 11, 15, 6, tzinfo=UTC)
    rows = [row for page in october.payloads for row in parse(page.content, OCTOBER)[TABLE.name].to_dicts()]
    assert [row["invoice_id"] for row in rows] == [f"I-{number}" for number in range(5)]
    assert json.loads(october.payloads[0].content)["NextToken"] == "2"
    assert json.loads(november.payloads[0].content)["InvoiceSummaries"][0]["InvoiceId"] == "N-1"
    assert {question["Filter"]["BillingPeriod"]["Month"] for question in api.asked} == {10, 11}


def test_throttling_and_failures_that_may_pass_are_waited_for() -> None:
    sleeps = Sleeps()
    faults = [refused("ThrottlingException"), refused("InternalServerException", 500), Answer(status=503, body=b"")]
    october, _ = _fetched(Invoicing([summary()], faults=faults), sleeps=sleeps)
    assert len(october.payloads) == 1
    assert sleeps.seconds == [1, 2, 4]


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([refused("AccessDeniedException")], "refused .AccessDeniedException.: the role needs invoicing:ListInvoice"),
        ([refused("ValidationException")], "refused .ValidationException."),
        ([refused("ThrottlingException")] * 9, "failed 5 times, last with ThrottlingException"),
        ([Answer(body=b"{}")], "something that is not its"),
        ([Answer(body=b"<html>")], "something that is not its"),
    ],
)
def test_what_cannot_be_had_says_why_and_no_secret(faults: list[Answer], words: str) -> None:
    with pytest.raises(SourceError, match=words) as raised:
        _fetched(Invoicing([summary()], faults=faults * 5))
    assert SECRET not in str(raised.value)


def test_pages_that_do_not_end_or_that_moved_are_no_month() -> None:
    """B9."""
    with pytest.raises(SourceError, match="invoice I-0 of 2026-10 is on two pages"):
        _fetched(Invoicing([summary("I-0"), summary("I-1"), summary("I-2")], repeats_token=True))
    empty = Invoicing([], repeats_token=True)
    with pytest.raises(SourceError, match="the pages of 2026-10 do not end"):
        _fetched(empty)


def test_a_summary_is_its_total_in_the_bills_currency_beside_what_is_paid() -> None:
    (row,) = parse(answered(summary(EinvoiceDeliveryStatus="DELIVERED")), OCTOBER)[TABLE.name].to_dicts()
    assert (row["bucket"], f"{row['usage_date']}") == (f"{PAYER}|2026-10", "2026-10-01")
    assert (row["total_amount"], row["currency"], row["before_tax_amount"]) == ("15.78", "USD", "14.42")
    assert (row["payment_amount"], row["payment_currency"], row["exchange_rate"]) == ("13.63", "EUR", "0.86400")
    assert (row["issued_on"], row["original_invoice_id"]) == ("2026-11-03", None)
    others = json.loads(row["other_columns"])
    assert others["EinvoiceDeliveryStatus"] == "DELIVERED"
    assert others["BaseCurrencyAmount.AmountBreakdown"]["Taxes"]["TotalAmount"] == "1.36"


def test_what_the_cli_saved_is_read_as_the_answer_is() -> None:
    """The AWS CLI writes moments in ISO 8601, and all pages as one."""
    saved = answered(summary(IssuedDate="2026-11-02T19:00:00-05:00"), summary("N-1", month="2026-11"))
    assert recognise("a.json", saved) == TABLE.name
    assert drop("a.json", saved, {}).from_at is None
    rows = parse(saved, {})[TABLE.name].to_dicts()
    assert [(row["bucket"].rpartition("|")[2], row["issued_on"]) for row in rows] == [
        ("2026-10", "2026-11-03"), ("2026-11", "2026-11-03"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[]", "No list InvoiceSummaries"),
        (answered(summary(), summary()), "Invoice 2181117685 stands in it twice"),
        (answered(summary(InvoiceId=None)), "invoice 1: no InvoiceId"),
        (answered(summary(BaseCurrencyAmount={"TotalAmount": "1"})), "no BaseCurrencyAmount"),
        (answered(summary(BaseCurrencyAmount="1")), "stands in no object"),
        (answered(summary(total="1,5")), "not a decimal number"),
        (answered(summary(total="1" + "0" * 15)), "more than any invoice says"),
        (answered(summary(BillingPeriod={"Month": 13, "Year": 2026})), "no Month and Year"),
        (answered(summary(month="2026-09")), "it is of 2026-09, and 2026-10 was asked for"),
        (answered(summary(IssuedDate="soon")), "IssuedDate is 'soon'"),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_it_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        parse(content, OCTOBER)


def test_whose_invoices_has_to_be_said() -> None:
    for said in ({"account_id": 111122223333}, {"account_id": "main"}):
        with pytest.raises(ConfigError, match="twelve digits"):
            check(said, ())
    check({"account_id": PAYER}, ())
    check({}, ())
    with pytest.raises(ConfigError, match="twelve digits"):
        list(fetch(context(Invoicing([]), from_at=None)))


@pytest.mark.parametrize(
    ("faults", "access"),
    [
        ([], "allowed"),
        ([refused("AccessDeniedException")], "not_permitted"),
        ([refused("ThrottlingException")], "throttled"),
    ],
)
def test_doctor_asks_for_one_page_of_one_invoice(faults: list[Answer], access: str) -> None:
    api = Invoicing([summary()], faults=list(faults))
    assert SOURCE.probe is not None
    with serving(api) as served:
        (one,) = SOURCE.probe(context(served, account_id=PAYER))
        assert one.ask(None).access == "not_asked"
        assert one.ask(5).access == access
    assert [question["MaxResults"] for question in api.asked] == [1]
