"""API bills and meters: what each cell of a day cost, whose it is, and how many tokens it was."""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from importlib.metadata import version
from typing import Any, NamedTuple

from tests.oracle import openai
from tests.oracle.cells import Cell, Charge, Metered
from tests.oracle.landed import Project, counting_days, moment
from tests.oracle.money import money, quanta, split
from tests.oracle.rates import Rates
from tests.oracle.rules import api_owner

PROVIDER = "anthropic"

# The vendor's names of a token class: in cost rows of the API, and in the Console's file.
_CLASSES = {
    "uncached_input_tokens": "input_uncached",
    "cache_read_input_tokens": "input_cache_read",
    "cache_creation.ephemeral_5m_input_tokens": "input_cache_write_5m",
    "cache_creation.ephemeral_1h_input_tokens": "input_cache_write_1h",
    "output_tokens": "output",
    "input_no_cache": "input_uncached",
    "input_cache_read": "input_cache_read",
    "input_cache_write_5m": "input_cache_write_5m",
    "input_cache_write_1h": "input_cache_write_1h",
    "output": "output",
}
_CONSOLE_KINDS = {"token": "tokens", "web_search": "web_search", "code_execution": "code_execution"}
_CONSOLE_WINDOWS = {"≤ 200k": "0-200k", "> 200k": "200k-1M"}

# US dollars per 1M tokens at list, standard mode, as the vendors list them; typed in here so that the
# oracle does not read the price book it checks. Batch is half.
_LIST_PRICES = {
    "claude-haiku-4-5": ("1", "0.10", "1.25", "2", "5"),
    "claude-sonnet-4-6": ("3", "0.30", "3.75", "6", "15"),
    "gpt-5-mini": ("0.25", "0.025", None, None, "2"),
    "gpt-5.4-mini": ("0.75", "0.075", None, None, "4.5"),
    "text-embedding-3-small": ("0.02", None, None, None, None),
}
_PRICED_CLASSES = ("input_uncached", "input_cache_read", "input_cache_write_5m", "input_cache_write_1h", "output")
# OpenAI's batch prices are known since they were read; Anthropic's since its models are.
_OPENAI_BATCH_SINCE = date(2026, 10, 14)


@dataclass(frozen=True)
class ApiFigures:
    """Rows of the API marts: grain -> columns."""

    costs: dict[tuple[Any, ...], dict[str, Any]]
    demand_hourly: dict[tuple[Any, ...], dict[str, Any]]
    demand_daily: dict[tuple[Any, ...], dict[str, Any]]


def api_figures(project: Project) -> ApiFigures:
    charges = _cost_report(project) | openai.charges(project)
    named_charges = _console(project)
    metered = [*_usage(project), *openai.metered(project)]
    costs: dict[tuple[Any, ...], dict[str, Any]] = {}
    if {cell.account for cell, _ in charges} & {cell.account for cell, _ in named_charges}:
        raise ValueError("the oracle reads one bill of an account: two would need a book of record")
    counts = _by_cell_and_key([cell for cell, _ in (*charges, *named_charges)], metered)
    direct = list(_direct(named_charges, counts))
    rates = Rates(project)
    for row in (*direct, *_keyed(charges, counts)):
        _add_cost_row(project, rates, costs, row)
    hourly, daily = _demand(project, metered)
    return ApiFigures(costs=costs, demand_hourly=hourly, demand_daily=daily)


# --- reading ---------------------------------------------------------------------------------------------------------


def _pages(content: bytes) -> list[dict[str, Any]]:
    said = json.loads(content, parse_float=str)
    return said if isinstance(said, list) else [said]


def _results(project: Project, dataset: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(account, bucket, result) of every day from the one delivery that counts for it."""
    counting = counting_days(project, dataset)
    for delivery in set(counting.values()):
        for object_id in delivery.object_ids:
            for page in _pages(project.content(object_id)):
                for bucket in page["data"]:
                    day = moment(bucket["starting_at"]).date()
                    if counting.get((delivery.account, day)) is delivery:
                        for result in bucket["results"]:
                            yield delivery.account, bucket, result


def _model(name: str | None) -> str | None:
    """The id of a model that an export names by id, dated id or display name ("Claude Haiku 4.5")."""
    if name is None:
        return None
    plain = name.lower().replace(" ", "-").replace(".", "-") if " " in name else name
    return re.sub(r"-20\d{6}$", "", plain)


def _cost_report(project: Project) -> dict[tuple[Cell, str], Charge]:
    """(cell, currency) -> its charge. Amounts are the currency's lowest unit: hundredths of a dollar."""
    charges: dict[tuple[Cell, str], Charge] = {}
    for account, bucket, result in _results(project, "cost_report"):
        kind = result["cost_type"] if result["cost_type"] in ("tokens", "web_search", "code_execution") else "other"
        token_type = result.get("token_type")
        cell = Cell(
            usage_date=moment(bucket["starting_at"]).date(),
            provider=PROVIDER,
            account=account,
            workspace_id=result.get("workspace_id"),
            model=_model(result.get("model")),
            token_class=_CLASSES.get(token_type or "", token_type) if kind == "tokens" else None,
            service_tier=result.get("service_tier"),
            context_window=result.get("context_window"),
            inference_geo=result.get("inference_geo"),
            charge_kind=kind,
        )
        charge = charges.setdefault(
            (cell, result["currency"]),
            Charge(source="anthropic_cost_api", currency=result["currency"], api_key_id=None, list_quanta=None),
        )
        cents = quanta(result["amount"])
        if cents % 100:
            raise ValueError(f"{result['amount']} cents are finer than a quantum of a dollar")
        charge.quanta += cents // 100
        charge.speeds.add(result.get("speed") or "standard")
    return charges


def _console(project: Project) -> dict[tuple[Cell, str | None], Charge]:
    """(cell, key) -> its charge; two lines with equal dimensions are two charges."""
    charges: dict[tuple[Cell, str | None], Charge] = {}
    counting = counting_days(project, "console_cost")
    for delivery in set(counting.values()):
        for object_id in delivery.object_ids:
            for line in csv.DictReader(io.StringIO(project.content(object_id).decode("utf-8"), newline="")):
                day = date.fromisoformat(line["usage_date_utc"])
                if counting.get((delivery.account, day)) is not delivery:
                    continue
                said = {name: value or None for name, value in line.items()}
                kind = _CONSOLE_KINDS.get(line["cost_type"], "other")
                token_type = line["token_type"]
                workspace, tier, window = said["workspace"], said["usage_type"], said["context_window"]
                cell = Cell(
                    usage_date=day,
                    provider=PROVIDER,
                    account=delivery.account,
                    workspace_id=None if workspace == "Default" else workspace,
                    model=_model(said["model"]),
                    token_class=_CLASSES.get(token_type, token_type) if kind == "tokens" else None,
                    service_tier="standard" if tier == "message" else tier,
                    context_window=_CONSOLE_WINDOWS.get(window, window) if window else None,
                    inference_geo=said["inference_geo"],
                    charge_kind=kind,
                )
                key = said.get("api_key_id") or said["api_key"]
                charge = charges.setdefault(
                    (cell, key), Charge(source="anthropic_console_csv", currency="USD", api_key_id=key)
                )
                charge.quanta += quanta(line["cost_usd"])
                listed = said.get("list_price_usd")
                if listed is None or charge.list_quanta is None:
                    charge.list_quanta = None
                else:
                    charge.list_quanta += quanta(listed)
                charge.speeds.add(said.get("speed") or "standard")
    return charges


def _usage(project: Project) -> Iterator[Metered]:
    """Every count but 0. Anthropic's uncached input leaves cache reads and writes out, so the classes are disjoint."""
    for account, bucket, result in _results(project, "messages_usage"):
        start, end = moment(bucket["starting_at"]), moment(bucket["ending_at"])
        hour_at = start.replace(minute=0, second=0, microsecond=0) if end - start <= timedelta(hours=1) else None
        written = result.get("cache_creation") or {}
        counts = {
            "input_uncached": result.get("uncached_input_tokens"),
            "input_cache_read": result.get("cache_read_input_tokens"),
            "input_cache_write_5m": written.get("ephemeral_5m_input_tokens"),
            "input_cache_write_1h": written.get("ephemeral_1h_input_tokens"),
            "output": result.get("output_tokens"),
        }
        key = result.get("api_key_id")
        for token_class, tokens in counts.items():
            if tokens:
                cell = Cell(
                    usage_date=start.date(),
                    provider=PROVIDER,
                    account=account,
                    workspace_id=result.get("workspace_id"),
                    model=_model(result.get("model")),
                    token_class=token_class,
                    service_tier=result.get("service_tier"),
                    context_window=result.get("context_window"),
                    inference_geo=result.get("inference_geo"),
                    charge_kind="tokens",
                )
                yield Metered(cell, key, hour_at, tokens)
        searches = (result.get("server_tool_use") or {}).get("web_search_requests")
        if searches:
            # A search is billed by the workspace, not by the model that asked for it.
            workspace = result.get("workspace_id")
            cell = Cell(start.date(), PROVIDER, account, workspace, None, None, None, None, None, "web_search")
            yield Metered(cell, key, hour_at, searches)


# --- whose money -----------------------------------------------------------------------------------------------------


def _by_cell_and_key(billed: list[Cell], metered: list[Metered]) -> dict[Cell, dict[str | None, int]]:
    """Counts by the bill's cells and key. A meter that leaves out the geography has the only one the bill knows."""
    geographies: dict[Cell, set[str | None]] = defaultdict(set)
    for cell in billed:
        geographies[cell._replace(inference_geo=None)].add(cell.inference_geo)
    counts: dict[Cell, dict[str | None, int]] = defaultdict(lambda: defaultdict(int))
    for reading in metered:
        cell = reading.cell
        known = geographies.get(cell._replace(inference_geo=None), set())
        if cell.inference_geo is None and len(known) == 1:
            cell = cell._replace(inference_geo=next(iter(known)))
        counts[cell][reading.api_key_id] += reading.units
    return counts


class _CostRow(NamedTuple):
    cell: Cell
    api_key_id: str | None
    attribution: str
    source: str
    currency: str | None
    units: int | None
    quanta: int | None
    list_quanta: int | None
    speeds: frozenset[str]
    matched_by: str | None = None


def _keyed(charges: dict[tuple[Cell, str], Charge], counts: dict[Cell, dict[str | None, int]]) -> Iterator[_CostRow]:
    """Charges that name no key, split over the keys of their cell; then what was metered and never billed."""
    billed_cells = [cell for cell, _ in charges]
    if len(set(billed_cells)) != len(billed_cells):
        raise ValueError("the oracle does not split one cell billed in two currencies")
    for (cell, currency), charge in charges.items():
        speeds = frozenset(charge.speeds)
        keys = counts.get(cell)
        if keys is None:
            yield _CostRow(cell, None, "unattributed", charge.source, currency, None, charge.quanta, None, speeds)
            continue
        ordered = dict(sorted(keys.items(), key=lambda item: (item[0] is None, item[0] or "")))
        for key, share in split(charge.quanta, ordered).items():
            yield _CostRow(cell, key, "allocated", charge.source, currency, keys[key], share, None, speeds, "key")
    for cell in counts.keys() - set(billed_cells):
        for key, count in counts[cell].items():
            source = "anthropic_usage_api" if cell.provider == PROVIDER else openai.USAGE
            yield _CostRow(cell, key, "metered_only", source, None, count, None, None, frozenset(["standard"]))


def _direct(
    charges: dict[tuple[Cell, str | None], Charge], counts: dict[Cell, dict[str | None, int]]
) -> Iterator[_CostRow]:
    """Charges under the bill's own names of keys, with the tokens that belong beside them, taken out of `counts`."""
    beside: dict[tuple[Cell, str | None], tuple[int, str]] = {}
    alike = set()
    for cell, key in charges:
        if key in counts.get(cell, {}):
            beside[cell, key] = counts[cell].pop(key), "key"
            alike |= {cell} if key is not None else set()
    for matched_by, place in (("cell", _itself), ("account_day", _model_class_and_tier)):
        # Where one key is spelled alike on both sides, the others are different keys.
        trusted = {place(cell) for cell in alike}
        unmetered: dict[Cell, list[tuple[Cell, str | None]]] = defaultdict(list)
        for cell, key in sorted(
            charges.keys() - beside.keys(), key=lambda name: [_last(text) for text in _names(name)]
        ):
            unmetered[place(cell)].append((cell, key))
        unbilled: dict[Cell, int] = defaultdict(int)
        for cell, keys in counts.items():
            if place(cell) in unmetered and place(cell) not in trusted:
                unbilled[place(cell)] += sum(keys.values())
                keys.clear()
        for where, units in unbilled.items():
            if units:
                paid = {name: abs(charges[name].quanta) // 10**12 for name in unmetered[where]}
                weights = paid if sum(paid.values()) else dict.fromkeys(paid, 1)
                beside |= {name: (share, matched_by) for name, share in split(units, weights).items()}
    for (cell, key), charge in charges.items():
        units_beside, how = beside.get((cell, key), (None, None))
        yield _CostRow(
            cell,
            key,
            "direct",
            charge.source,
            charge.currency,
            units_beside,
            charge.quanta,
            charge.list_quanta,
            frozenset(charge.speeds),
            how,
        )


def _itself(cell: Cell) -> Cell:
    return cell


def _model_class_and_tier(cell: Cell) -> Cell:
    """What a bill and a meter of an account's day both state, however either spells the rest."""
    return cell._replace(workspace_id=None, context_window=None, inference_geo=None)


def _names(name: tuple[Cell, str | None]) -> tuple[str | None, ...]:
    cell, key = name
    return cell.workspace_id, key, cell.context_window, cell.inference_geo


def _last(text: str | None) -> tuple[bool, str]:
    """What is not said comes after what is."""
    return text is None, text or ""


def _list_cost(row: _CostRow) -> Fraction | None:
    """In dollars: what the bill states itself, else the row's tokens at list; None where no price is known."""
    if row.list_quanta is not None:
        return money(row.list_quanta)
    cell = row.cell
    price = list_price(cell.model, cell.token_class)
    share = {"standard": Fraction(1), "batch": Fraction(1, 2)}.get(cell.service_tier or "")
    is_plain = row.speeds == {"standard"} and cell.inference_geo in (None, "global", "not_available")
    if price is None or share is None or not is_plain or row.units is None:
        return None
    if cell.provider == PROVIDER and cell.context_window != "0-200k":
        return None
    if cell.provider == openai.PROVIDER and share != 1 and cell.usage_date < _OPENAI_BATCH_SINCE:
        return None
    return row.units * price * share / 10**6


_MODES = ("standard", "batch", "flex", "priority")
_PRICE_BOOK = f"genai-prices {version('genai-prices')}"


def list_price(model: str | None, token_class: str | None) -> Fraction | None:
    """US dollars per 1M tokens of a prompt within 200k, standard mode; None where this oracle knows no price."""
    if model not in _LIST_PRICES or token_class not in _PRICED_CLASSES:
        return None
    price = _LIST_PRICES[model][_PRICED_CLASSES.index(token_class)]
    return None if price is None else Fraction(price)


def _add_cost_row(project: Project, rates: Rates, costs: dict[tuple[Any, ...], dict[str, Any]], row: _CostRow) -> None:
    cell = row.cell
    owner = api_owner(
        project,
        provider=cell.provider,
        account=cell.account,
        workspace=cell.workspace_id,
        api_key=row.api_key_id,
        model=cell.model,
    )
    billed_cost, list_cost = None if row.quanta is None else money(row.quanta), _list_cost(row)
    billed_cost_rc = rates.convert(billed_cost, row.currency, cell.usage_date)
    list_currency = row.currency if row.list_quanta is not None else "USD"
    list_cost_rc = rates.convert(list_cost, list_currency, cell.usage_date)
    if billed_cost is not None and billed_cost_rc is None:
        price_status = "unconverted"
    elif cell.charge_kind != "tokens":
        price_status = "not_tokens"
    elif list_cost is None:
        price_status = "unpriced"
    else:
        price_status = "unconverted" if list_cost_rc is None else "priced"
    key = (
        cell.usage_date,
        cell.provider,
        cell.provider,  # who sends the invoice, whatever the account is called here
        cell.account,
        cell.workspace_id,
        row.api_key_id,
        cell.model,
        cell.token_class,
        cell.service_tier,
        cell.context_window,
        cell.inference_geo,
        cell.charge_kind,
        row.attribution,
        row.currency,
        None,  # no rule of the demo names a gateway's key or team
        None,
    )
    if key in costs:
        raise ValueError(f"two rows of {key}")
    is_tokens = cell.charge_kind == "tokens"
    costs[key] = {
        "source": row.source,
        "price_mode": cell.service_tier if cell.service_tier in _MODES and row.speeds == {"standard"} else None,
        "list_price_source": None if list_cost is None else "bill" if row.list_quanta is not None else _PRICE_BOOK,
        "team": owner.team,
        "workload": owner.workload,
        "tokens_matched_by": row.matched_by,
        # No export of the demo states one amount for several classes.
        "class_split": None,
        "tokens": row.units if is_tokens else None,
        "web_search_request_count": None if is_tokens else row.units,
        "billed_cost": billed_cost,
        "billed_cost_rc": billed_cost_rc,
        "list_cost_rc": list_cost_rc,
        "price_status": price_status,
    }


# --- demand ----------------------------------------------------------------------------------------------------------


def _demand(
    project: Project, metered: list[Metered]
) -> tuple[dict[tuple[Any, ...], dict[str, Any]], dict[tuple[Any, ...], dict[str, Any]]]:
    """Tokens by workload and hour, and by day with whether every one of them has its hour."""
    hours: dict[tuple[Any, ...], int] = defaultdict(int)
    days: dict[tuple[Any, ...], int] = defaultdict(int)
    timed_days: dict[tuple[Any, ...], int] = defaultdict(int)
    for reading in metered:
        cell = reading.cell
        if cell.charge_kind != "tokens":
            continue
        workload = api_owner(
            project,
            provider=cell.provider,
            account=cell.account,
            workspace=cell.workspace_id,
            api_key=reading.api_key_id,
            model=cell.model,
        ).workload
        day_key = (cell.usage_date, workload, "api", cell.model, cell.token_class)
        days[day_key] += reading.units
        if reading.hour_at is not None:
            hours[cell.usage_date, reading.hour_at, workload, "api", cell.model, cell.token_class] += reading.units
            timed_days[day_key] += reading.units
    hourly = {key: {"tokens": tokens, "shape_from": "meter"} for key, tokens in hours.items()}
    daily = {
        key: {"tokens": tokens, "evidence": "hourly" if timed_days[key] == tokens else "daily"}
        for key, tokens in days.items()
    }
    return hourly, daily
