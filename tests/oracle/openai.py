"""OpenAI's bills and meters: pages of the Admin API, and the dashboard's cost export as a control.

Covers what the demo needs. What it does not cover (audio, other units, an export that is the book) it refuses aloud.
"""

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, NamedTuple

from tests.oracle.cells import Cell, Charge, Metered
from tests.oracle.landed import Project, counting_days
from tests.oracle.money import nearest_quanta
from tests.oracle.rates import Rates
from tests.oracle.rules import api_owner

PROVIDER = "openai"
COSTS, USAGE, DASHBOARD = "openai_costs_api", "openai_usage_api", "openai_dashboard_csv"
# What each source's files can be of. The ends of paths, as OpenAI spells them.
ENDPOINTS = (
    *("completions", "decisions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions"),
    *("vector_stores", "code_interpreter_sessions", "file_search_calls", "web_search_calls"),
)
DATASETS = {COSTS: ("costs",), USAGE: ENDPOINTS, DASHBOARD: ("cost", *ENDPOINTS)}

_CLASSES = {"input": "input_uncached", "cached input": "input_cache_read", "output": "output"}
_TIERS = ("flex", "priority", "batch")
_COUNTED = {"input_tokens", "output_tokens", "input_cached_tokens", "num_model_requests"}


class Line(NamedTuple):
    """One line of a bill, as its text says. `tier` and `model` are None where the line is not for tokens."""

    usage_date: date
    account: str
    project_id: str | None
    model: str | None
    token_class: str | None
    tier: str | None
    currency: str
    quanta: int


Tiers = dict[tuple[date, str | None, str | None, str | None], str | None]


def charges(project: Project) -> dict[tuple[Cell, str], Charge]:
    """(cell, currency) -> its charge, of the API's costs: the export beside them is a control, and summed nowhere."""
    tiers = _cell_tiers(project)
    found: dict[tuple[Cell, str], Charge] = {}
    for line in _book(project):
        tier = tiers[_place(line)] if line.tier is not None else None
        cell = _cell(line.usage_date, line.account, line.project_id, line.model, line.token_class, tier)
        charge = found.setdefault(
            (cell, line.currency),
            Charge(source=COSTS, currency=line.currency, api_key_id=None, list_quanta=None, speeds={"standard"}),
        )
        charge.quanta += line.quanta
    return found


def other_charges(project: Project) -> dict[tuple[Any, ...], dict[str, Any]]:
    """fct_api_other_charges_daily: what the book charges for anything but tokens; in the demo that is storage alone."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for account, start, _, result in _results(project, "costs"):
        amount, text, unit, place = result["amount"], result["line_item"], result["quantity_unit"], result["project_id"]
        line = _line(start.date(), account, place, text, str(amount["value"]), amount["currency"], unit=unit)
        if line.model is not None:
            continue
        if (text, unit) != ("Vector storage", "gibibyte_hours"):
            raise ValueError(f"{text} in {unit}: the oracle knows storage only")
        owner = api_owner(project, provider=PROVIDER, account=account, workspace=place, api_key=None, model=None)
        row = found.setdefault(
            (line.usage_date, COSTS, account, place, text, unit, line.currency),
            {
                "other_kind": "other",
                "workload": owner.workload,
                "billed_cost": Fraction(0),
                "billed_cost_rc": Fraction(0),
                "billed_quantity": Fraction(0),
                **dict.fromkeys(("unit", "quantity_per_unit", "billed_cost_per_unit")),
            },
        )
        row["billed_cost"] += Fraction(line.quanta, 10**18)
        row["billed_quantity"] += Fraction(str(result["quantity"]))
    rates = Rates(project)
    for key, row in found.items():
        row["billed_cost_rc"] = rates.convert(row["billed_cost"], key[6], key[0])
    return found


def metered(project: Project) -> Iterator[Metered]:
    """Every count but 0. `input_tokens` hold the cached ones too, so those are taken out."""
    tiers = _cell_tiers(project)
    for account, start, result in _usage(project):
        day = start.date()
        model, said = _model(result["model"]), _said_tier(result)
        cached = result.get("input_cached_tokens") or 0
        counts = {
            "input_uncached": result["input_tokens"] - cached,
            "input_cache_read": cached,
            "output": result.get("output_tokens") or 0,
        }
        if counts["input_uncached"] < 0:
            raise ValueError(f"{cached} cached of {result['input_tokens']} input tokens: the oracle does not guess")
        tier = tiers[day, result["project_id"], model, said]
        for token_class, tokens in counts.items():
            if tokens:
                cell = _cell(day, account, result["project_id"], model, token_class, tier)
                yield Metered(cell, result["api_key_id"], start, tokens)


def control_days(project: Project) -> dict[tuple[str, date], int]:
    """(account, day) -> what the dashboard's export says of it, in quanta."""
    sums: dict[tuple[str, date], int] = defaultdict(int)
    for line in control_lines(project):
        sums[line.account, line.usage_date] += line.quanta
    return sums


def rows_by_day(dataset: str, text: str) -> Iterator[date]:
    """The day of each charge or count in a file."""
    if dataset == "cost":
        for row in csv.DictReader(io.StringIO(text, newline="")):
            if row["amount_value"]:
                yield datetime.fromtimestamp(int(row["start_time"]), tz=UTC).date()
        return
    for page in json.loads(text):
        for bucket in page["data"]:
            for _ in bucket["results"]:
                yield datetime.fromtimestamp(bucket["start_time"], tz=UTC).date()


# --- reading ---------------------------------------------------------------------------------------------------------


def _results(project: Project, dataset: str) -> Iterator[tuple[str, datetime, int, dict[str, Any]]]:
    """(account, bucket's start, its seconds, result) of every day from the one delivery that counts for it."""
    counting = counting_days(project, dataset)
    for delivery in set(counting.values()):
        if delivery.source == DASHBOARD:
            raise ValueError(f"an export of {dataset} landed: the oracle reads only the API's")
        for object_id in delivery.object_ids:
            for page in json.loads(project.content(object_id), parse_float=str):
                for bucket in page["data"]:
                    start = datetime.fromtimestamp(bucket["start_time"], tz=UTC)
                    if counting.get((delivery.account, start.date())) is delivery:
                        for result in bucket["results"]:
                            yield delivery.account, start, bucket["end_time"] - bucket["start_time"], result


def _book(project: Project) -> Iterator[Line]:
    for account, start, _, result in _results(project, "costs"):
        amount = result["amount"]
        yield _line(
            start.date(),
            account,
            result["project_id"],
            result["line_item"],
            str(amount["value"]),
            amount["currency"],
            unit=result["quantity_unit"],
        )


def control_lines(project: Project) -> Iterator[Line]:
    """What the dashboard's export says beside the API's costs."""
    counting = counting_days(project, "cost")
    for delivery in set(counting.values()):
        if project.source(delivery.source, delivery.account)["role"] != "control":
            raise ValueError("a dashboard export is the book: the oracle knows it as a control only")
        for object_id in delivery.object_ids:
            text = project.content(object_id).decode("utf-8")
            for row in csv.DictReader(io.StringIO(text, newline="")):
                day = datetime.fromtimestamp(int(row["start_time"]), tz=UTC).date()
                if counting.get((delivery.account, day)) is delivery:
                    yield _line(
                        day,
                        delivery.account,
                        row["project_id"] or None,
                        row["line_item"],
                        row["amount_value"],
                        row["amount_currency"],
                        unit=None,
                    )


def _line(
    day: date, account: str, project_id: str | None, text: str, amount: str, currency: str, *, unit: str | None
) -> Line:
    """`[tier | ]model, class` is for tokens; anything else keeps its money and is for nothing that is known."""
    said = re.fullmatch(r"(?:(\w+) \| )?([\w.-]+), ([\w ]+)", text)
    tier = model = token_class = None
    if said and said[3] in _CLASSES and (said[1] is None or said[1] in _TIERS) and unit in (None, "tokens"):
        tier, model, token_class = said[1] or "standard", _model(said[2]), _CLASSES[said[3]]
    return Line(day, account, project_id, model, token_class, tier, currency.upper(), nearest_quanta(amount))


def _usage(project: Project) -> Iterator[tuple[str, datetime, dict[str, Any]]]:
    for endpoint in ENDPOINTS:
        for account, start, seconds, result in _results(project, endpoint):
            counts = {name for name, value in result.items() if value and isinstance(value, int)} - {"batch"}
            if endpoint not in ("completions", "embeddings") or seconds != 3600 or counts - _COUNTED:
                raise ValueError(f"{endpoint}, {seconds} s, {sorted(counts)}: the oracle reads hours of text tokens")
            yield account, start, result


def _model(name: str) -> str:
    """Less its snapshot date, which OpenAI writes with dashes."""
    return re.sub(r"-20\d\d-\d\d-\d\d$", "", name)


def _cell(
    day: date, account: str, project_id: str | None, model: str | None, token_class: str | None, tier: str | None
) -> Cell:
    return Cell(
        usage_date=day,
        provider=PROVIDER,
        account=account,
        workspace_id=project_id,
        model=model,
        token_class=token_class,
        service_tier=tier,
        context_window=None,
        inference_geo=None,
        charge_kind="other" if model is None else "tokens",
    )


# --- tiers -----------------------------------------------------------------------------------------------------------


def _place(line: Line) -> tuple[date, str | None, str | None, str | None]:
    return line.usage_date, line.project_id, line.model, line.tier


def _said_tier(result: dict[str, Any]) -> str | None:
    """As a meter says it; embeddings do not."""
    if result.get("batch"):
        return "batch"
    said = result.get("service_tier")
    return "standard" if said == "default" else said


def _cell_tiers(project: Project) -> Tiers:
    """(day, project, model, tier that is said) -> the tier of the cell in which bill and meter meet.

    A tier that any bill of the day names beside the standard one is a cell of its own. What is left is standard, if
    nothing there says otherwise or says nothing.
    """
    billed = {_place(line) for line in (*_book(project), *control_lines(project)) if line.tier is not None}
    said = billed | {
        (start.date(), result["project_id"], _model(result["model"]), _said_tier(result))
        for _, start, result in _usage(project)
    }
    named = {(day, tier) for day, _, _, tier in billed if tier != "standard"}
    rest: dict[tuple[date, str | None, str | None], set[str | None]] = defaultdict(set)
    for day, project_id, model, tier in said:
        if (day, tier) not in named:
            rest[day, project_id, model].add(tier)
    return {
        (day, project_id, model, tier): tier
        if (day, tier) in named
        else "standard"
        if rest[day, project_id, model] == {"standard"}
        else None
        for day, project_id, model, tier in said
    }
