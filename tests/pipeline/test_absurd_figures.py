"""Figures that no bill has, in every column of every format that is added up: no build ends, and the rest is counted.

Each stands in two lines of one day, resource and meter: each of them may be held, and their sum not.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.sources.bulk import exact_decimals
from tests.models import cloud_harness
from tests.pipeline import small_project as small
from tests.pipeline.small_project import Answers, SmallProject, source
from tests.sources import azure, cur2, cur_legacy, gcp, litellm, oci, openai_admin_api, small_bills, test_vast_charges
from tests.sources.cur2 import FolderPlace

NOW = datetime(2026, 12, 9, 6, tzinfo=UTC)
HELD_ALONE = "99999999999999999999"
A_COUNT = 9_000_000_000_000_000_000
_GROQ = {
    "provider": "groq", "currency": "USD",
    "columns": {"date": "Day", "model": "Model", "amount": "Cost", "input": "Prompt", "output": "Completion"},
}  # fmt: skip
_INVOICE = {
    "timezone": "UTC",
    "columns": {
        "invoice_id": "Invoice", "charge_kind": "Item", "resource_id": "Server", "gpu_count": "GPUs",
        "quantity": "Qty", "unit": "Unit", "unit_price": "Price", "amount": "Amount", "currency": "Currency",
        "period_start": "From", "period_end": "To",
    },
    "charge_kind": {"GPU server": "gpu_instance"},
}  # fmt: skip
_TABLE = (
    "Invoice number,5123456789\nCurrency,AUD\nBilling account ID,0X0X0X\n\nProject ID,Service description,"
    "SKU description,SKU ID,Credit type,Cost type,Usage start date,Usage end date,Usage amount,Usage unit,"
    "Unrounded cost ($)\n"
)
_OPENAI_CSV = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,quantity\n"
_GENERATIONS = (
    "generation_id,created_at,cost_total,byok_usage_inference,tokens_prompt,tokens_completion,tokens_reasoning,"
    "tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,api_key_name\n"
)


@dataclass(frozen=True)
class Case:
    """A file with the figure in one column. `cost`: what is counted of it; None where it is refused. `quantities`: the
    rows of it that have a quantity.
    """

    source: str
    column: str
    file: str
    content: bytes
    settings: Mapping[str, Any] = field(default_factory=dict)
    cost: str | None = None
    quantities: int = 0

    @property
    def account(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", f"{self.source}-{self.column}".lower())


def _twice(line: str, **fields: str) -> str:
    return 2 * line.format(**fields)


def _clouds() -> Iterator[Case]:
    whole = {
        "ConsumedQuantity": "1", "PricingQuantity": "1", "ConsumedUnit": "Hours", "PricingUnit": "Hours",
        "ResourceId": "i-1",
    }  # fmt: skip
    for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ConsumedQuantity", "PricingQuantity"):
        said = cloud_harness.line(**{**whole, "BillingAccountId": column, column: HELD_ALONE})
        cost = "2" if column.endswith("Quantity") else None
        content = cloud_harness.focus_csv([said, said])
        yield Case("focus", column, "a.csv", content, cost=cost, quantities=int(column == "PricingQuantity"))
    for column, said_of in {
        "cost": {"cost": HELD_ALONE},
        "cost_at_list": {"cost_at_list": HELD_ALONE},
        "usage.amount": {"usage": {**gcp.ROW["usage"], "amount": HELD_ALONE}},
        "usage.amount_in_pricing_units": {"usage": {**gcp.ROW["usage"], "amount_in_pricing_units": "1e40"}},
    }.items():
        row = gcp.row(**{"cost": 1.5, "billing_account_id": column, **said_of})
        content = gcp.json_lines([row, row])
        cost = "3" if column.startswith("usage") else None
        consumed = int(column.endswith("pricing_units"))
        yield Case("gcp_billing_export", column, "a.json", content, {"files": "whole"}, cost=cost, quantities=consumed)
    for column, amount, price, cost in (
        ("Usage amount", HELD_ALONE, "1.5", "3"),
        ("Unrounded cost", "1", HELD_ALONE, None),
    ):
        row = "acme,Gemini API,tokens,A1,,Usage,2026-11-01,2026-11-30,{amount},count,{price}\n"
        content = (_TABLE + _twice(row, amount=amount, price=price)).encode()
        yield Case("gcp_cost_table", column, "a.csv", content, cost=cost)
    for column, cost in (("Quantity", "200.5"), ("CostInBillingCurrency", None)):
        row = azure.row(**{"BillingAccountId": column, column: HELD_ALONE})
        yield Case("azure_cost_details", column, "a.csv", azure.details([row, row]), cost=cost)
    for column, cost in (("billedQuantity", "160"), ("myCost", None)):
        row = oci.row(**{"tenantId": column, column: HELD_ALONE})
        yield Case("oci_cost_report", column, "0001000000000001.csv", oci.report([row, row]), cost=cost)


def _apis() -> Iterator[Case]:
    for column in ("Cost", "Prompt"):
        said = {"Cost": "1", "Prompt": "600", column: HELD_ALONE if column == "Cost" else str(A_COUNT)}
        content = "Day,Model,Cost,Prompt,Completion\n" + _twice("2026-11-03,llama,{Cost},{Prompt},50\n", **said)
        yield Case("api_bill_csv", column, "b.csv", content.encode(), _GROQ)
    tokens = partial(small_bills.deepseek_amount, "output_tokens")
    for column, amounts, costs in (
        ("amount", [tokens("1", A_COUNT)] * 2, [small_bills.deepseek_cost("0.15")]),
        ("price", [tokens(HELD_ALONE, 1)] * 2, [small_bills.deepseek_cost("0.15")]),
        ("cost", [tokens("1", 1)], [small_bills.deepseek_cost(HELD_ALONE)] * 2),
    ):
        yield Case("deepseek_usage", column, small_bills.ZIP_NAME, small_bills.deepseek_zip(amounts, costs))
    for column in ("usage", "prompt_tokens", "completion_tokens", "cached_tokens"):
        row = small_bills.openrouter_row(**{column: int(HELD_ALONE) if column == "usage" else A_COUNT})
        yield Case("openrouter_activity", column, "a.json", small_bills.openrouter_answer(row, row))
    costs = {day: [small.cost_result(HELD_ALONE)] * 2 for day in small.DAYS}
    yield Case("anthropic_cost_api", "amount", "a.json", small.api_page(costs))
    yield Case("anthropic_console_csv", "cost_usd", small.CONSOLE_NAME, small.three_days(*[HELD_ALONE] * 3))
    for column in ("output_tokens", "uncached_input_tokens"):
        used = {day: [small.usage_result(**{column: A_COUNT})] * 2 for day in small.DAYS}
        yield Case("anthropic_usage_api", column, "a.json", small.api_page(used))
    for column, cost, quantity in (("amount", int(HELD_ALONE), 1), ("quantity", 1, int(HELD_ALONE))):
        result = {
            "object": "organization.costs.result", "amount": {"value": cost, "currency": "usd"},
            "line_item": "gpt-5, input", "project_id": "p", "quantity": quantity, "quantity_unit": "tokens",
        }  # fmt: skip
        page = openai_admin_api.page(openai_admin_api.bucket("2026-11-01", result, result))
        yield Case("openai_costs_api", column, "a.json", page)
        row = "1793491200,1793577600,2026-11-01T00:00:00+00:00,2026-11-02T00:00:00+00:00,{cost},usd,gpt,{quantity}\n"
        content = _OPENAI_CSV + _twice(row, cost=str(cost), quantity=str(quantity))
        yield Case("openai_dashboard_csv", column, "cost_2026-11-01_2026-11-01.csv", content.encode())
    for column in ("input_tokens", "num_model_requests"):
        result = {"object": "organization.usage.completions.result", "input_tokens": 10, "output_tokens": 5,
                  "num_model_requests": 1, "model": "gpt-5", column: A_COUNT}  # fmt: skip
        page = openai_admin_api.page(openai_admin_api.bucket("2026-11-01", result, result))
        yield Case("openai_usage_api", column, "a.json", page)


def _others() -> Iterator[Case]:
    for column, unit in (("Qty", "GPU-hours"), ("GPUs", "hours"), ("Price", "hours"), ("Amount", "hours")):
        said = {"GPUs": "8", "Qty": "1", "Price": "1", "Amount": "10", column: HELD_ALONE}
        row = f"I-1,GPU server,s-1,{{GPUs}},{{Qty}},{unit},{{Price}},{{Amount}},USD,2026-11-01,2026-12-01\n"
        content = "Invoice,Item,Server,GPUs,Qty,Unit,Price,Amount,Currency,From,To\n" + _twice(row, **said)
        yield Case("invoice_csv", column, "i.csv", content.encode(), _INVOICE)
    # Held by itself, and no time: the two lines are of their period, each of thirty days.
    row = "I-1,GPU server,s-2,8,900000000000000,hours,1,10,USD,2026-11-01,2026-12-01\n"
    content = "Invoice,Item,Server,GPUs,Qty,Unit,Price,Amount,Currency,From,To\n" + 2 * row
    yield Case("invoice_csv", "hours", "i.csv", content.encode(), _INVOICE, cost="20", quantities=60)
    for column in ("hours", "USD"):
        said = {"hours": "1", "USD": "1", column: HELD_ALONE}
        row = "Droplets,,node (gpu-h100x8-640gb),{hours},2026-11-01 00:00:00 +0000,2026-12-01 00:00:00 +0000,{USD}\n"
        content = "product,group_description,description,hours,start,end,USD\n" + _twice(row, **said)
        yield Case("digitalocean_invoices", column, "i.csv", content.encode())
    charge = test_vast_charges.row(at=int(NOW.timestamp()) // 86_400 * 86_400, amount=int(HELD_ALONE), items=[])
    content = json.dumps(test_vast_charges.page(charge, {**charge, "source": "instance-2"}))
    yield Case("vast_charges", "amount", "a.json", content.encode())
    yield Case(
        "modal_billing_csv", "Cost", "a_2026-11-01_2026-12-01.csv",
        ("Object ID,Description,Environment,Interval Start,Resource,Cost,Tags\n"
         + _twice("ap-1,embed,main,2026-11-02,,{cost},\n", cost=HELD_ALONE)).encode(),
    )  # fmt: skip
    rated = {"bills": {"anthropic": None, "openai": None}}
    for column in ("BilledCost", "ConsumedQuantity"):
        row = {**litellm.row("2026-11-03", "0.25"), column: HELD_ALONE}
        name = "usage_20261101T000000Z_20261105T000000Z.csv"
        yield Case("litellm_focus", column, name, litellm.export_csv([row, row]), rated)
    logged = [
        {"request_id": f"c-{number}", "startTime": "2026-11-03T09:15:02.123000Z", "model": "claude-haiku-4-5",
         "custom_llm_provider": "anthropic", "api_key": "ab" * 32, "prompt_tokens": A_COUNT, "completion_tokens": 1,
         "spend": 0.00123, "call_type": "acompletion"}
        for number in range(2)
    ]  # fmt: skip
    yield Case("litellm_spend_logs", "prompt_tokens", "l.json", json.dumps(logged).encode(), rated)
    row = "gen-{number},2026-11-03 09:15:02.123,0.00012,0,{count},10,,0,anthropic/haiku,Anthropic,,,,search\n"
    rows = "".join(row.format(number=number, count=A_COUNT) for number in (1, 2))
    yield Case("openrouter_generations", "tokens_prompt", "g.csv", (_GENERATIONS + rows).encode(), rated)
    yield Case("ecb_rates", "rate", "e.csv", f"Date,USD,JPY,\n2026-11-19,{HELD_ALONE},175.1,\n".encode())


CASES = {case.account: case for case in (*_clouds(), *_apis(), *_others())}
# Exports in a folder of their own: the column, the figure, and how the file is written.
EXPORTS: Mapping[str, tuple[str, Callable[..., bytes]]] = {
    f"{name}-{column.replace('_', '-')}": (column, write)
    for name, write in (
        ("aws-cur2-parquet", cur2.parquet),
        ("aws-cur2-csv", cur2.csv_gz),
        ("aws-cur", cur_legacy.csv_gz),
    )
    for column in ("line_item_unblended_cost", "line_item_usage_amount", "pricing_public_on_demand_cost")
}


def _aws_total(*, year: int, month: int) -> bytes:
    said = {"AccountId": "1" * 12, "InvoiceId": "A", "BillingPeriod": {"Year": year, "Month": month}}
    amount = {"TotalAmount": "5.00", "CurrencyCode": "USD"}
    return json.dumps({"InvoiceSummaries": [{**said, "BaseCurrencyAmount": amount}]}).encode()


def _exported(folder: Path, account: str) -> dict[str, Any]:
    column, write = EXPORTS[account]
    line = cur2.line(**{"cost": 1.0, "bill_payer_account_id": account, column: 9e19})
    place, at = FolderPlace(folder / account), datetime(2026, 11, 5, 4, tzinfo=UTC)
    is_legacy = not account.startswith("aws-cur2")
    (cur_legacy if is_legacy else cur2).refresh(place, [write([line, line])], at=at)
    return {
        "source": "aws_cur" if is_legacy else "aws_cur2",
        "account": account,
        "settings": {"export": str(folder / account)},
    }


# A bill of a day that no bill is of, before and after those that dates can reach from.
DATED: dict[str, tuple[str, str, bytes]] = {
    "cost-before": (small.COST_API, "a.json", small.api_page({"0001-01-01": [small.cost_result("500")]})),
    "totals-after": ("aws_invoices", "a.json", _aws_total(year=9999, month=12)),
    "cost-at-zero": (small.COST_API, "a.json", small.api_page({"1970-01-01": [small.cost_result("500")]})),
    "totals-before": ("aws_invoices", "a.json", _aws_total(year=1, month=1)),
    "drivers-before": ("drivers_csv", "a.csv", b"date,driver,value\n0001-01-01,customers,5\n"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, warm_cache: Path) -> tuple[SmallProject, Answers]:
    """All of them in one company, beside a bill that is as it should be."""
    folder = tmp_path_factory.mktemp("absurd")
    sources = [
        source(case.source, case.account, **({"settings": dict(case.settings)} if case.settings else {}))
        for case in CASES.values()
    ]
    sources += [_exported(folder / "exports", account) for account in EXPORTS]
    sources += [source(name, account) for account, (name, _, _) in DATED.items()]
    project = SmallProject(folder / "project", [*sources, source("focus", "sound")], warm_cache=warm_cache)
    for account, (name, file, content) in DATED.items():
        project.drop(name, account, file, content)
    for case in CASES.values():
        project.drop(case.source, case.account, case.file, case.content)
    project.drop("focus", "sound", "a.csv", cloud_harness.focus_csv([cloud_harness.line(BilledCost="7.25")]))
    return project, project.run(now=NOW)


@pytest.fixture(scope="module")
def reasons(built: tuple[SmallProject, Answers]) -> dict[str, str]:
    return {entry.account: entry.reason for entry in built[0].quarantine(now=NOW)}


_COSTS = """
    select account, sum(billed_cost) as cost, count(consumed_quantity) as quantities
    from fct_cloud_charges_daily group by account
    union all
    select account, sum(realized_cost) as cost, count(gpu_milliseconds) as quantities
    from int_gpu_charges_daily where line_number is not null group by account
"""


@pytest.mark.parametrize("account", CASES)
def test_a_figure_that_no_bill_has_is_refused_or_unknown(
    account: str, built: tuple[SmallProject, Answers], reasons: Mapping[str, str]
) -> None:
    """B12: a bill whose money cannot be so is quarantined with its reason; a quantity that cannot is unknown, where the
    export keeps quantities of any unit, and its cost counts.
    """
    case = CASES[account]
    if case.cost is None:
        assert re.search(r"\d", reasons[account])
        assert "error of breakeven" not in reasons[account]
        return
    (row,) = built[1].rows(f"select * from ({_COSTS}) where account = '{account}'")
    assert account not in reasons
    assert (row["cost"], row["quantities"]) == (Decimal(case.cost), case.quantities)


@pytest.mark.parametrize("account", EXPORTS)
def test_a_line_of_an_aws_export_that_cannot_be_so_quarantines_its_file(
    account: str, reasons: Mapping[str, str]
) -> None:
    column = re.sub(r"[^a-z]", "", reasons[account].lower())
    assert EXPORTS[account][0].replace("_", "").removeprefix("lineitem") in column
    assert "more than any line of a bill is for" in reasons[account]


@pytest.mark.parametrize("account", DATED)
def test_a_day_that_no_bill_is_of_quarantines_its_file(account: str, reasons: Mapping[str, str]) -> None:
    """A year of 1 or of 9999 ended every build: its month has none before it, or none after."""
    assert re.search(r"a row is of \d{4}-\d{2}-\d{2}, and what counts is of 2015 to 2199", reasons[account])


def test_what_is_beside_them_is_counted(built: tuple[SmallProject, Answers]) -> None:
    (row,) = built[1].rows(f"select * from ({_COSTS}) where account = 'sound'")
    assert row["cost"] == Decimal("7.25")


def test_a_quantity_too_large_to_be_held_is_null_and_keeps_its_spelling() -> None:
    text = pl.Series("amount", ["8640000000000000000", "86400000000000000000", "2.6e21", None, "1.5"])
    values, spelled = exact_decimals(text, kind="quantity")
    assert values.to_list() == [Decimal(8640000000000000000), None, None, None, Decimal("1.5")]
    assert spelled is not None
    assert spelled.to_list() == [None, "86400000000000000000", "2.6e21", None, None]
