"""Files that are not what they should be: each is named with its reason, nothing else suffers, nothing counts twice."""

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.pipeline.conftest import MakeProject
from tests.pipeline.small_project import (
    CONSOLE,
    CONSOLE_HEADER,
    CONSOLE_NAME,
    COST_API,
    DAYS,
    INVOICE,
    NOW,
    SPOOL,
    USAGE_API,
    Answers,
    SmallProject,
    api_page,
    console_csv,
    console_row,
    cost_result,
    invoice_csv,
    source,
    spool_file,
    three_days,
    usage_result,
)

GOOD = three_days("1.00", "2.00", "3.50")


def two_accounts(make_project: MakeProject, name: str = "project") -> SmallProject:
    """`labs` gets the bad file of a test; `acme` has a good one, 6.50 in all, which must count whatever happens."""
    made = make_project([source(CONSOLE, "acme"), source(CONSOLE, "labs")], name=name)
    made.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD)
    return made


def seen_milliseconds(built: Answers) -> int | None:
    """GPU time that samples show and no bill names."""
    return built.one("select sum(gpu_milliseconds) from fct_gpu_leftovers_daily where kind = 'seen_never_billed'")


# --- truncated -------------------------------------------------------------------------------------------------------

CUT: dict[str, tuple[str, str, bytes, str]] = {
    "console": (CONSOLE, CONSOLE_NAME, GOOD[:-10], "row 4: 10 cells where the header has 12"),
    "cost page": (
        COST_API,
        "page-20261104T060000Z.json",
        api_page({day: [cost_result("100")] for day in DAYS})[:-20],
        "Not complete JSON",
    ),
    "invoice": (
        INVOICE,
        "invoice.csv",
        invoice_csv([("GPU server", "server-1", "72.00")])[:-1],
        "the last row has no line end",
    ),
    "spool": (SPOOL, "spool.jsonl", spool_file("2026-11-01")[:40], "header"),
}


@pytest.mark.parametrize("kind", list(CUT))
def test_a_cut_file_is_quarantined_with_its_reason_and_the_rest_counts(make_project: MakeProject, kind: str) -> None:
    """B9, B15: a file cut in the middle is refused as a whole, not read as a smaller bill."""
    name, file_name, content, reason = CUT[kind]
    project = make_project([source(CONSOLE, "acme"), source(name, "labs")])
    project.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD)
    project.drop(name, "labs", file_name, content)
    built = project.run()
    (entry,) = project.quarantine()
    assert (entry.source, entry.account, entry.name) == (name, "labs", file_name)
    assert reason in entry.reason
    assert built.api_cost("acme") == Decimal("6.50")
    assert built.api_cost("labs") is None
    assert built.gpu_cost("labs") is None


def test_a_cut_file_does_not_displace_the_good_one_before_it(make_project: MakeProject) -> None:
    """B10: a broken restatement is no restatement."""
    project = two_accounts(make_project)
    project.drop(CONSOLE, "labs", CONSOLE_NAME, three_days("10.00", "20.00", "30.00"))
    project.run(now=NOW)
    later = CONSOLE_NAME.replace("exported_2026_11_04", "exported_2026_11_05")
    project.drop(CONSOLE, "labs", later, three_days("11.00", "21.00", "31.00")[:-30])
    built = project.run(now=NOW + timedelta(hours=1))
    assert built.api_cost("labs") == Decimal("60.00")
    assert [entry.name for entry in project.quarantine(now=NOW + timedelta(hours=1))] == [later]


def test_a_spool_file_torn_in_its_last_line_counts_up_to_there(make_project: MakeProject) -> None:
    """B19: what the agent could not finish writing is unobserved time, and a record says that a line was torn."""
    project = make_project([source(SPOOL, "fleet")])
    project.drop(SPOOL, "fleet", "spool.jsonl", spool_file("2026-11-01")[:-30])
    built = project.run()
    assert seen_milliseconds(built) == 5 * 600_000
    assert built.rows("select record_kind from stg_nvml_spool__agent_records where record_kind = 'torn_tail'") != []
    assert project.quarantine() == []


# --- duplicated, reordered, restated ---------------------------------------------------------------------------------


def test_the_same_bills_dropped_again_under_another_name_count_once(make_project: MakeProject) -> None:
    """B9: by Console, API page and invoice."""
    project = make_project([source(CONSOLE, "acme"), source(COST_API, "org"), source(INVOICE, "gpucloud")])
    page = api_page({day: [cost_result("100")] for day in DAYS})
    invoice = invoice_csv([("GPU server", "server-1", "72.00")], total="72.00")
    for copy in ("", "copy of "):
        project.drop(CONSOLE, "acme", f"{copy}{CONSOLE_NAME}", GOOD)
        project.drop(COST_API, "org", f"{copy}page-20261104T060000Z.json", page)
        project.drop(INVOICE, "gpucloud", f"{copy}invoice.csv", invoice)
    built = project.run()
    assert built.api_cost("acme") == Decimal("6.50")
    assert built.api_cost("org") == Decimal("3.00")
    assert built.gpu_cost("gpucloud") == Decimal("72.00")
    assert built.rows("select status from fct_reconciliation_invoice") == [{"status": "ties"}]


def test_a_spool_file_shipped_half_and_then_whole_counts_once(make_project: MakeProject) -> None:
    """B9: a sample is unique by its agent's start and its sequence number."""
    project = make_project([source(SPOOL, "fleet")])
    whole = spool_file("2026-11-01")
    half = b"".join(whole.splitlines(keepends=True)[:5])
    project.drop(SPOOL, "fleet", "a.jsonl", half)
    project.run()
    project.drop(SPOOL, "fleet", "b.jsonl", whole)
    project.drop(SPOOL, "fleet", "c.jsonl", whole)
    built = project.run(now=NOW + timedelta(hours=1))
    assert seen_milliseconds(built) == 6 * 600_000


def test_neither_the_order_of_rows_nor_of_arrival_changes_a_table(make_project: MakeProject) -> None:
    """B5, B9: five files of one account, rows shuffled, dropped in two orders, one of them older than it arrives."""
    costs = [console_row(day, f"{cents / 100:.2f}") for day in DAYS for cents in range(1, 7)]
    shuffled = random.Random(4).sample(costs, len(costs))
    newer = CONSOLE_NAME.replace("exported_2026_11_04", "exported_2026_11_05")
    files = [
        (CONSOLE_NAME, console_csv(costs)),
        ("claude_api_cost_2026_11_01_to_2026_11_02.csv", console_csv([console_row(DAYS[0], "999.00")])),
        (newer, console_csv([*costs, console_row(DAYS[1], "0.50")])),
    ]
    tables = []
    for name, order in (("straight", files), ("turned", list(reversed(files)))):
        project = make_project([source(CONSOLE, "acme")], name=name)
        project.project.land_config(NOW)
        for hour, (file_name, content) in enumerate(order):
            rows = shuffled if name == "turned" and file_name == CONSOLE_NAME else None
            project.drop(CONSOLE, "acme", file_name, content if rows is None else console_csv(rows))
            project.ingest(now=NOW + timedelta(hours=hour))
        built = project.build(now=NOW + timedelta(hours=5))
        assert built.api_cost("acme") == Decimal("1.13")
        tables.append(built.tables())
    assert tables[0] == tables[1]


def test_a_restatement_counts_instead_of_what_it_restates(make_project: MakeProject) -> None:
    """B10: refunds survive, earlier amounts do not, and an older file that comes late changes nothing."""
    project = two_accounts(make_project)
    project.drop(CONSOLE, "labs", CONSOLE_NAME, three_days("10.00", "20.00", "30.00"))
    project.run()
    newer = CONSOLE_NAME.replace("exported_2026_11_04", "exported_2026_11_05")
    project.drop(CONSOLE, "labs", newer, three_days("10.00", "-4.25", "30.00"))
    older = CONSOLE_NAME.replace("_exported_2026_11_04", "")
    project.drop(CONSOLE, "labs", older, three_days("5.00", "5.00", "5.00"))
    built = project.run(now=NOW + timedelta(hours=1))
    assert built.api_cost("labs") == Decimal("35.75")
    assert built.api_cost("acme") == Decimal("6.50")


def test_another_months_file_is_refused(make_project: MakeProject) -> None:
    """B8: rows outside the days that the name promises."""
    project = two_accounts(make_project)
    october = "claude_api_cost_2026_10_01_to_2026_10_31.csv"
    project.drop(CONSOLE, "labs", october, GOOD)
    built = project.run()
    (entry,) = project.quarantine()
    assert "dated 2026-11-01, outside the window 2026-10-01 to 2026-10-31" in entry.reason
    assert (built.api_cost("labs"), built.api_cost("acme")) == (None, Decimal("6.50"))


# --- unknown: kept and shown, never dropped --------------------------------------------------------------------------


def test_a_bill_in_another_currency_is_unconverted_and_only_that_account_is(make_project: MakeProject) -> None:
    """B23: 72 EUR are not 72 USD, and no sum holds both."""
    project = make_project([source(INVOICE, "gpucloud"), source(INVOICE, "eurocloud"), source(CONSOLE, "acme")])
    project.drop(CONSOLE, "acme", CONSOLE_NAME, GOOD)
    project.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv([("GPU server", "server-1", "72.00")]))
    euros = invoice_csv([("GPU server", "server-9", "72.00")], invoice="RE-9", currency="EUR", total="72.00")
    project.drop(INVOICE, "eurocloud", "rechnung.csv", euros)
    built = project.run()
    assert built.rows(
        "select account, billing_currency, sum(realized_cost) as billed, sum(realized_cost_rc) as in_usd "
        "from fct_gpu_costs_daily group by all order by account"
    ) == [
        {"account": "eurocloud", "billing_currency": "EUR", "billed": Decimal(72), "in_usd": None},
        {"account": "gpucloud", "billing_currency": "USD", "billed": Decimal(72), "in_usd": Decimal(72)},
    ]
    assert built.rows("select status from fct_reconciliation_invoice where account = 'eurocloud'") == [
        {"status": "ties"}
    ]
    assert built.one("select sum(billed_cost_rc) from fct_api_costs_daily") == Decimal("6.50")


def test_an_unknown_column_is_kept_and_changes_no_sum(make_project: MakeProject) -> None:
    """B12: a new column of the vendor's neither drops rows nor merges them."""
    project = make_project([source(CONSOLE, "acme")])
    rows = [f"{console_row(day, '1.00')},{shade}" for day in DAYS for shade in ("teal", "mauve")]
    project.drop(CONSOLE, "acme", CONSOLE_NAME, console_csv(rows, header=f"{CONSOLE_HEADER},shade_of_invoice"))
    built = project.run()
    assert built.api_cost("acme") == Decimal("6.00")
    assert built.result.landed is not None
    relation: Any = built.result.landed.relations["landed_anthropic_console_csv__costs"]
    kept = built.rows(f"select other_columns from ({relation.sql(None)}) order by all")
    assert [row["other_columns"] for row in kept] == ['{"shade_of_invoice": "mauve"}'] * 3 + [
        '{"shade_of_invoice": "teal"}'
    ] * 3


def test_a_model_nobody_knows_is_billed_in_full_and_unpriced(make_project: MakeProject) -> None:
    """B4: no list price is not a list price of 0, and not that of a model with a similar name."""
    project = make_project([source(COST_API, "org"), source(USAGE_API, "org")])
    stranger = "claude-haiku-4-55"
    costs = {day: [cost_result("150", model=stranger), cost_result("50")] for day in DAYS}
    usage = {day: [usage_result(model=stranger, output_tokens=700)] for day in DAYS}
    project.drop(COST_API, "org", "costs-20261104T060000Z.json", api_page(costs))
    project.drop(USAGE_API, "org", "usage-20261104T060000Z.json", api_page(usage))
    built = project.run()
    assert built.rows(
        "select model, price_status, sum(billed_cost) as billed, sum(list_cost_rc) as list, sum(tokens) as tokens "
        f"from fct_api_costs_daily where model = '{stranger}' group by all"
    ) == [{"model": stranger, "price_status": "unpriced", "billed": Decimal("4.50"), "list": None, "tokens": 2100}]
    assert built.api_cost("org") == Decimal("6.00")
    (row,) = built.ask("spend_api", from_date="2026-11-01", to_date="2026-12-01").to_dicts()[:1]
    assert (row["model"], row["unpriced_tokens"], row["list_cost_rc"]) == (stranger, 2100, None)


def test_a_token_class_nobody_knows_keeps_its_name_and_its_money(make_project: MakeProject) -> None:
    """B3, B24: a new cache lifetime and a new line type are shown under the vendor's own names."""
    project = make_project([source(COST_API, "org")])
    strange = [
        cost_result("120", token_type="cache_creation.ephemeral_7d_input_tokens"),
        cost_result("80", cost_type="thought_rental", token_type=None, model=None),
        cost_result("100"),
    ]
    project.drop(COST_API, "org", "costs-20261104T060000Z.json", api_page(dict.fromkeys(DAYS, strange)))
    built = project.run()
    assert built.rows(
        "select charge_kind, token_class, price_status, sum(billed_cost) as billed from fct_api_costs_daily "
        "group by all order by billed desc"
    ) == [
        {
            "charge_kind": "tokens",
            "token_class": "cache_creation.ephemeral_7d_input_tokens",
            "price_status": "unpriced",
            "billed": Decimal("3.60"),
        },
        {"charge_kind": "tokens", "token_class": "output", "price_status": "unpriced", "billed": Decimal("3.00")},
        {"charge_kind": "other", "token_class": None, "price_status": "not_tokens", "billed": Decimal("2.40")},
    ]


def test_an_invoice_line_of_an_unknown_kind_is_an_overhead_and_the_invoice_still_ties(
    make_project: MakeProject,
) -> None:
    """B24: storage, or whatever the provider thinks of next, is on the bill and in the sum."""
    project = make_project([source(INVOICE, "gpucloud")])
    lines = [("GPU server", "server-1", "60.00"), ("Sky hooks", "", "9.00"), ("VAT", "", "3.00")]
    project.drop(INVOICE, "gpucloud", "invoice.csv", invoice_csv(lines, total="72.00"))
    built = project.run()
    states = built.rows("select state, sum(realized_cost) as cost from fct_gpu_costs_daily group by 1 order by 1")
    assert states == [
        {"state": "overhead", "cost": Decimal(9)},
        {"state": "tax", "cost": Decimal(3)},
        {"state": "unobserved", "cost": Decimal(60)},
    ]
    assert built.rows("select status, residual_cost from fct_reconciliation_invoice") == [
        {"status": "ties", "residual_cost": Decimal(0)}
    ]


# --- files that are no export ----------------------------------------------------------------------------------------

NOT_EXPORTS: dict[str, Callable[[], bytes]] = {
    "empty.csv": lambda: b"",
    "holiday.jpg": lambda: bytes(range(256)) * 40,
    "list.csv": lambda: b"name,phone\nme,123\n",
    "page.json": lambda: b'{"data": [',
    "utf16.csv": lambda: GOOD.decode().encode("utf-16"),
    "headless.csv": lambda: GOOD.split(b"\r\n", 1)[1],
}


def test_files_that_are_no_export_are_all_listed_and_nothing_else_stops(make_project: MakeProject) -> None:
    """Law 7: each is kept, with a reason of its own."""
    project = two_accounts(make_project)
    for name, content in NOT_EXPORTS.items():
        project.drop(CONSOLE, "labs", name, content())
    project.drop(CONSOLE, "labs", CONSOLE_NAME, three_days("10.00", "20.00", "30.00"))
    built = project.run()
    assert (built.api_cost("acme"), built.api_cost("labs")) == (Decimal("6.50"), Decimal("60.00"))
    entries = project.quarantine()
    assert sorted(entry.name for entry in entries) == sorted(NOT_EXPORTS)
    assert all(entry.reason for entry in entries)
