"""Prepaid accounts as a reader of the report meets them."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipeline.doctor.figures import prepaid_findings
from pipeline.doctor.findings import Cost
from pipeline.reports.monthly import report_text
from pipeline.reports.questions import Questions

from .fake_snapshot import OCTOBER, broken, config, snapshot_of, tables
from .reading import Element, read, section, table

Rows = list[dict[str, Any]]


def days(account: str, *closings: str | None, first: date = OCTOBER, used: str = "2", **last: Any) -> Rows:
    """A day a closing balance, each of which is the one before less `used`, and unexplained what is not."""
    rows: Rows = []
    opening: Decimal | None = None
    known_from = None
    for number, closing in enumerate(closings):
        day = first + timedelta(days=number)
        balance = None if closing is None else Decimal(closing)
        known_from = None if balance is None else known_from or day
        is_summed = opening is not None and balance is not None
        nothing = dict.fromkeys(("purchased_cost", "granted_cost", "expired_cost", "refunded_cost"), Decimal(0))
        rows.append(
            {
                **nothing,
                "usage_date": day,
                "issuer": "openai",
                "account": account,
                "billing_currency": "USD",
                "opening_balance_cost": opening,
                "used_cost": Decimal(used),
                "unexplained_cost": balance - opening + Decimal(used) if is_summed and balance and opening else None,
                "closing_balance_cost": balance,
                "known_from_date": known_from,
                "daily_used_cost": Decimal(used),
                "runway_days_count": None if balance is None else int(balance // Decimal(used)),
            }
        )
        opening = balance
    return [*rows[:-1], {**rows[-1], **last}]


def page(tmp_path: Path, *rows: dict[str, Any], **filled: Any) -> Element:
    snapshot = snapshot_of({**tables(), "fct_prepaid_balances_daily": rows, **filled}, tmp_path)
    return read(report_text(snapshot, config=config(), quarantined=(), first_day=OCTOBER))


def test_an_account_is_shown_from_the_day_from_which_it_is_known_to_the_newest_that_is(tmp_path: Path) -> None:
    """By hand: 100 known on the 3rd, 2 used on each of two days, of which 1 is unexplained; the rest nobody knows."""
    rows = [*days("acme", None, "50", None, "100", "98", "95", None), *days("labs", None, None)]
    document = page(tmp_path, *rows)
    assert [tuple(row.values()) for row in table(document, "Prepaid accounts")] == [
        ("openai acme", "$100.00", "$0.00", "$0.00", "$4.00", "$0.00", "$0.00", "−$1.00", "$95.00",
         "47 days after 2026-10-06"),
        ("openai labs", *["unknown"] * 8, "balance unknown"),
    ]  # fmt: skip
    assert (
        "Opening + bought + granted - used - expired - refunded + unexplained = balance."
        in section(document, "commitments").text
    )


def test_what_was_used_over_a_day_that_is_not_settled_is_unknown_and_not_what_the_others_used(tmp_path: Path) -> None:
    """100 - 2, then 40 is shown for a day that no bill tells yet: 98 - 40 was not used for nothing."""
    unsettled = {"used_cost": None, "unexplained_cost": None}
    (row,) = table(page(tmp_path, *days("acme", "100", "98", "40", **unsettled)), "Prepaid accounts")
    opening, used, unexplained, balance = (list(row.values())[at] for at in (1, 4, 7, 8))
    assert (opening, used, unexplained, balance) == ("$100.00", "unknown", "unknown", "$40.00")


def test_what_moved_is_of_the_days_asked_for(tmp_path: Path) -> None:
    rows = days("acme", "10", "8", "6", "4", first=OCTOBER - timedelta(days=2))
    snapshot = snapshot_of({**tables(), "fct_prepaid_balances_daily": rows}, tmp_path)
    with Questions(snapshot) as questions:
        (told,) = questions.ask("prepaid", from_date=OCTOBER, to_date=OCTOBER + timedelta(days=1)).to_dicts()
    assert (told["since_date"], told["opening_balance_cost"], told["used_cost"], told["closing_balance_cost"]) == (
        OCTOBER, 8, 2, 6,
    )  # fmt: skip


def test_nothing_used_lasts_for_no_number_of_days_and_a_short_history_for_an_unknown_one(tmp_path: Path) -> None:
    idle = days("idle", "10", "8", runway_days_count=None, daily_used_cost=Decimal(0))
    new = days("new", "10", "8", runway_days_count=None, daily_used_cost=None)
    document = page(tmp_path, *idle, *new)
    assert [row["Lasts"] for row in table(document, "Prepaid accounts")] == [
        "nothing is used of it (2026-10-02)",
        "unknown: usage of 7 days to 2026-10-02 is not known",
    ]


def test_a_broken_law_of_the_account_refuses_its_balance(tmp_path: Path) -> None:
    rows = [*days("acme", "10", "8"), *days("labs", "10", "8")]
    document = page(tmp_path, *rows, check_money_is_conserved=[broken("money_is_conserved", "account:acme")])
    marked = [row["Account"] for row in table(document, "Prepaid accounts") if "not proven" in row["Account"]]
    assert marked == ["openai acme not proven: money_is_conserved"]


def test_without_prepaid_accounts_there_is_no_table(tmp_path: Path) -> None:
    assert "Prepaid accounts" not in {found.text for found in page(tmp_path).every("caption")}


def test_doctor_wants_somebody_where_credits_last_less_than_a_week(
    tmp_path: Path,
) -> None:
    rows = [
        *days("acme", "100", "98", unreceipted_purchase_cost=Decimal(20), unpurchased_receipt_cost=Decimal("5.5")),
        *days("labs", "14", "12"),
        *days("lost", None),
        *days("odd", "100", "97"),
    ]
    snapshot = snapshot_of({**tables(), "fct_prepaid_balances_daily": rows}, tmp_path)
    with Questions(snapshot) as questions:
        found = prepaid_findings(questions, from_date=OCTOBER, to_date=OCTOBER + timedelta(days=31))
    assert [(one.state, one.cost, one.said) for one in found] == [
        ("ok", Cost.NOTHING, "openai acme: $98.00 left, lasts 49 days after 2026-10-02; $20.00 bought without a "
         "receipt of its reference; $5.50 of receipts tie to no purchase"),
        ("fix", Cost.PREPAID_RUNS_OUT, "openai labs: $12.00 left, lasts 6 days after 2026-10-02"),
        ("note", Cost.FIGURE_LACKS_AN_INPUT, "openai lost: its balance is unknown"),
        ("ok", Cost.NOTHING, "openai odd: $97.00 left, lasts 48 days after 2026-10-02; −$1.00 of what the provider "
         "shows is unexplained"),
    ]  # fmt: skip
    assert all(one.fix for one in found if one.state != "ok")
