"""What is not converted, why, and the line of breakeven.yaml that would change it. Said alike by CLI and report."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pipeline.config.whole import Config
from pipeline.reports import figures
from pipeline.sources.ecb_rates import NAME, RATE_SERVES_DAYS

Answer = Mapping[str, Any]

# Price books of API models are in this currency (pipeline.decisions.list_prices).
_LIST_PRICES_IN = "USD"
_LINE = f"- {{source: {NAME}, account: ecb}}"


def rate_notes(unknown: Sequence[Answer], feeds: Sequence[Answer], config: Config) -> list[str]:
    """One sentence a currency, with what to do. `unknown`, `feeds`: answers to `unknown_costs` and `rates`."""
    reporting = config.reporting_currency
    unconverted: dict[str, list[Answer]] = {}
    for line in unknown:
        if line["reason"] == "unconverted" and line["billing_currency"] is not None:
            unconverted.setdefault(figures.name(line["billing_currency"]), []).append(line)
    is_configured = any(source.source == NAME for source in config.sources)
    notes = [
        f"{_amounts(lines, currency)}, {_days(lines)} UTC, not converted to {reporting}: there is no exchange rate. "
        + _remedy(lines, feeds, currency=currency, reporting=reporting, is_configured=is_configured)
        for currency, lines in sorted(unconverted.items())
    ]
    waiting = sorted(declared_currencies(config) - {reporting, *unconverted})
    if waiting and not is_configured:
        verb = "is" if len(waiting) == 1 else "are"
        notes.append(
            f"breakeven.yaml needs amounts in {', '.join(waiting)}, which {verb} not converted to {reporting} without "
            f"exchange rates. Add under `sources:`   {_LINE}"
        )
    return notes


def declared_currencies(config: Config) -> set[str]:
    """Every currency in which breakeven.yaml says an amount, or makes one be looked up (list prices of API models)."""
    settings = [source.settings for source in config.sources]
    assets = [asset for one in settings for asset in one.get("assets") or () if isinstance(asset, Mapping)]
    said: Iterable[object] = (
        *(resource.currency for resource in config.gpu_resources if resource.contract_rate_per_gpu_hour is not None),
        *(overhead.currency for overhead in config.overheads),
        *(one.get("currency") for one in (*settings, *assets)),
        *(_LIST_PRICES_IN for workload in config.workloads if workload.api_model is not None),
    )
    return {currency for currency in said if isinstance(currency, str)}


def _amounts(lines: Sequence[Answer], currency: str) -> str:
    """`€1.00 billed, €2.00 effective`: side by side, never added."""
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line["cost_measure"]] = sums.get(line["cost_measure"], Decimal(0)) + line["realized_cost"]
    return ", ".join(f"{figures.priced(amount, currency)} {measure}" for measure, amount in sorted(sums.items()))


def _days(lines: Sequence[Answer]) -> str:
    first, last = _first(lines), max(line["last_usage_date"] for line in lines)
    return figures.day(first) if first == last else f"{figures.day(first)} to {figures.day(last)}"


def _first(lines: Sequence[Answer]) -> date:
    first: date = min(line["first_usage_date"] for line in lines)
    return first


def _remedy(
    lines: Sequence[Answer], feeds: Sequence[Answer], *, currency: str, reporting: str, is_configured: bool
) -> str:
    if not is_configured:
        return f"Add under `sources:` in breakeven.yaml   {_LINE}"
    landed = [feed for feed in feeds if feed["last_rate_date"] is not None]
    if not landed:
        return f"{NAME} has delivered nothing yet. Run: breakeven run"
    since = _first(lines)
    oldest = min(feed["first_rate_date"] for feed in landed)
    newest = max(feed["last_rate_date"] for feed in landed)
    if since < oldest:
        return (
            f"The oldest rate landed is of {oldest}. For older ones add under `sources:` in breakeven.yaml   "
            f"- {{source: {NAME}, account: ecb-{since.year}, horizon: {since}}}"
        )
    if since > newest + timedelta(days=RATE_SERVES_DAYS):
        return (
            f"The newest rate landed is of {newest}, and a rate serves {RATE_SERVES_DAYS} days. Run: breakeven run; "
            f"where there is no network, drop a newer file of the ECB's in an inbox of {NAME}."
        )
    return f"The ECB publishes no rate between {currency} and {reporting} for those days."
