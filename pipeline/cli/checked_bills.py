"""How `check --bill` prints what exports say."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console

from pipeline.check.bill_answer import BillAnswer, Line, Told
from pipeline.check.bills import REPORTING_CURRENCY, CheckedFile
from pipeline.cli.checked_engine import item, say
from pipeline.cli.options import console, print_table
from pipeline.formats import currency as currencies
from pipeline.formats.writing import one_line

_MOST_LINES = 25
WORDS = {
    "anthropic_cost_api": "cost report of Anthropic's Admin API",
    "anthropic_usage_api": "usage report of Anthropic's Admin API",
    "anthropic_console_csv": "cost export of Anthropic's Console",
    "openai_costs_api": "costs of OpenAI's Admin API",
    "openai_usage_api": "usage of OpenAI's Admin API",
    "openai_dashboard_csv": "export of OpenAI's usage dashboard",
    "anthropic_enterprise_costs": "Claude Enterprise's cost report",
    "openrouter_activity": "OpenRouter's activity: what its credits paid for",
    "deepseek_usage": "usage export of DeepSeek",
    "fireworks_costs": "usage costs of Fireworks, or its meter of tokens and GPU seconds",
    "mistral_usage": "a month of Mistral's usage",
    "aws_cur2": "AWS Cost and Usage Report 2.0",
    "azure_cost_details": "cost details of Azure, actual or amortized",
    "gcp_billing_export": "billing export of Google Cloud",
    "gcp_cost_table": "cost table of Google Cloud's console",
    "oci_cost_report": "cost report of Oracle Cloud",
    "aws_cur": "legacy AWS Cost and Usage Report",
    "aws_invoices": "totals of AWS's invoices: no lines of a bill",
    "focus": "FOCUS cost and usage",
    "focus_usage": "usage in FOCUS's columns without cost: no bill",
    "litellm_focus": "FOCUS export of a LiteLLM gateway: its own estimate, no bill",
    "litellm_activity": "daily activity of a LiteLLM gateway: its own estimate, no bill",
    "litellm_spend_logs": "spend logs of a LiteLLM gateway: when requests came, no bill",
    "openrouter_generations": "OpenRouter's activity by generation: when requests came, no bill",
    "invoice_csv": "an invoice, by a guess at its columns",
    "digitalocean_invoices": "an invoice of DigitalOcean",
    "vast_charges": "charges of Vast.ai",
    "runpod_billing": "billing history of RunPod",
    "modal_billing_csv": "billing report of Modal",
    "prepaid_balance": "a reading of a prepaid balance: no bill",
    "prepaid_csv": "entries of a prepaid account: no bill",
    "drivers_csv": "business drivers, as tasks or customers: no bill",
    "nvml_spool": "spool of GPU samples and engine scrapes",
    "ecb_rates": "exchange rates of the European Central Bank",
}


def print_bills(answer: BillAnswer) -> None:
    """What each file is and says, what its tokens cost at list, when self-hosting would pay, what is unknown."""
    out = console()
    for one in answer.told:
        _print_told(out, one)
        out.print()
    for file in answer.unread:
        say(out, f"{one_line(file.name)}: {_what(file)}", style="bold red")
        for said in (str(file.problem), *file.notes):
            item(out, "", said)
        out.print()
    if answer.self_hosting:
        say(out, "What would have to be true for self-hosting to pay", style="bold")
        for said in answer.self_hosting:
            item(out, "-", said)
        out.print()
    if answer.unknown:
        say(out, "Unknown", style="bold")
        for said in answer.unknown:
            item(out, "-", said)


def _what(file: CheckedFile) -> str:
    if file.source is None:
        return "not recognised"
    return f"{WORDS[file.source]} ({file.source}), not readable"


def _print_told(out: Console, one: Told) -> None:
    file = one.file
    if file is None:
        say(out, one.title, style="bold")
    else:
        say(out, f"{one_line(file.name)}: {WORDS[str(file.source)]} ({file.source})", style="bold")
        say(out, f"  {_about(file)}")
    for said in one.said:
        say(out, f"  {said}")
    if not one.lines:
        return
    shown, others = _largest(one.lines)
    has_tokens, has_list = any(line.tokens is not None for line in shown), one.list_total is not None
    has_counts = any(line.count for line in shown)
    headers = ["what", "class", "says", *(["tokens"] if has_tokens else []), "amount"]
    headers += [*(["at list, USD", "billed less list"] if has_list else []), *(["of"] if has_counts else [])]
    rows = [_cells(line, has_tokens=has_tokens, has_list=has_list, has_counts=has_counts) for line in shown]
    print_table(headers, rows)
    for line in _sums(one, others):
        say(out, line)


def _about(file: CheckedFile) -> str:
    days = "no day" if file.from_date is None else f"{file.from_date} to {file.last_date} (UTC days)"
    whose = f"account {', '.join(file.own_accounts[:3])}" if file.own_accounts else "it does not say whose account"
    more = f" and {len(file.own_accounts) - 3} more" if len(file.own_accounts) > 3 else ""
    unknown = ", ".join(file.unknown_columns[:6])
    beyond = f" and {len(file.unknown_columns) - 6} more" if len(file.unknown_columns) > 6 else ""
    rows = "1 row" if file.rows == 1 else f"{file.rows:,} rows"
    columns = f"columns kept but not read: {unknown}{beyond}" if file.unknown_columns else "no unknown column"
    return one_line(f"{file.measure} · {days} · {whose}{more} · {rows} kept, none left out · {columns}")


def _largest(lines: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The lines that are shown, in their order, and those that are only added up."""
    if len(lines) <= _MOST_LINES:
        return list(lines), []
    size = sorted(range(len(lines)), key=lambda at: (-abs(lines[at].amount or Decimal(0)), at))
    chosen = set(size[:_MOST_LINES])
    return [line for at, line in enumerate(lines) if at in chosen], [
        line for at, line in enumerate(lines) if at not in chosen
    ]


def _cells(line: Line, *, has_tokens: bool, has_list: bool, has_counts: bool) -> list[str]:
    return [
        one_line(line.subject),
        one_line(line.line_class),
        line.measure,
        *(["—" if line.tokens is None else f"{line.tokens:,}"] if has_tokens else []),
        _money(line.amount, line.currency),
        *(
            [_money(line.list_amount, REPORTING_CURRENCY), _money(line.difference, REPORTING_CURRENCY)]
            if has_list
            else []
        ),
        *([line.count] if has_counts else []),
    ]


def _money(amount: Decimal | None, currency: str | None) -> str:
    return "—" if amount is None or currency is None else currencies.money(amount, currency, most_decimals=6)


def _sums(one: Told, others: Sequence[Line]) -> list[str]:
    said = []
    if others:
        said.append(f"{len(others)} smaller lines are added up and not shown; --format json has them all.")
    totals = ", ".join(_money(amount, currency) for currency, amount in one.totals().items())
    parts = [f"total {totals}" if totals else "", f"{one.tokens:,} tokens" if one.tokens is not None else ""]
    if one.list_total is not None:
        parts.append(f"{_money(one.list_total, REPORTING_CURRENCY)} at list")
    if one.difference is not None:
        parts.append(f"billed less list {_money(one.difference, REPORTING_CURRENCY)}, over what has both")
    return [*said, " · ".join(part for part in parts if part)]
