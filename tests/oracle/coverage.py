"""Which days are there, how final each is, and since when a source is silent."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from tests.oracle import openai
from tests.oracle.cloud import DATASET, covered_cloud_days
from tests.oracle.gpu_bills import invoice_moment, invoice_rows
from tests.oracle.landed import DAY, Delivery, Project, counting_days, midnight, moment, settle_lag, states_days
from tests.oracle.rates import Rates
from tests.oracle.spool import Spool

Rows = dict[tuple[Any, ...], dict[str, Any]]
_OPENAI = ("costs", "completions", "embeddings", "cost")
_RANKS = ("missing", "open", "provisional", "settled")
# A feed that goes on says nothing new about a day that ended a week ago.
_FEED_MATURES = timedelta(days=7)


class Covered(NamedTuple):
    rows: int
    stated_at: datetime


Coverage = dict[tuple[date, str, str, str], Covered]  # (day, source, account, dataset)


def covered_days(project: Project, spool: Spool) -> Coverage:
    """Every day that a delivery speaks for, with the rows it brought and when it was said."""
    covered: Coverage = {}
    counted: dict[str, Counter[date]] = {}
    for dataset in ("cost_report", "messages_usage", "console_cost", "owned_charges", *_OPENAI):
        for (account, day), delivery in counting_days(project, dataset).items():
            if delivery.delivery_id not in counted:
                counted[delivery.delivery_id] = _rows_by_day(project, delivery)
            rows = counted[delivery.delivery_id][day]
            if not rows:
                raise ValueError(f"{dataset} of {account} has no row on {day}: the oracle judges no withdrawal")
            covered[day, delivery.source, account, dataset] = Covered(rows, delivery.stated_at)
    for delivery in project.of("invoice"):
        for day, rows in _rows_by_day(project, delivery).items():
            if (day, delivery.source, delivery.account, "invoice") in covered:
                raise ValueError("two invoices start on one day: the oracle does not count them together")
            covered[day, delivery.source, delivery.account, "invoice"] = Covered(rows, delivery.stated_at)
    for (day, source, account), (rows, stated_at) in covered_cloud_days(project).items():
        covered[day, source, account, DATASET] = Covered(rows, stated_at)
    return covered | _feed(project, spool)


def _rows_by_day(project: Project, delivery: Delivery) -> Counter[date]:
    """How many charges, counts or lines a delivery has for each day."""
    rows: Counter[date] = Counter()
    for object_id in delivery.object_ids:
        content = project.content(object_id)
        text = content.decode("utf-8")
        if delivery.dataset in _OPENAI:
            rows.update(openai.rows_by_day(delivery.dataset, text))
        elif delivery.dataset in ("cost_report", "messages_usage"):
            for page in json.loads(text):
                for bucket in page["data"]:
                    rows[moment(bucket["starting_at"]).date()] += len(bucket["results"])
        elif delivery.dataset == "console_cost":
            rows.update(date.fromisoformat(line["usage_date_utc"]) for line in csv.DictReader(io.StringIO(text)))
        elif delivery.dataset == "owned_charges":
            body = json.loads(text)
            day = date.fromisoformat(body["from"])
            while day < date.fromisoformat(body["to"]):
                # Depreciation always; hosting and power where declared.
                rows[day] = sum(
                    1 + (asset.get("hosting_monthly") is not None) + (asset.get("power_watts") is not None)
                    for asset in body["assets"]
                )
                day += DAY
        else:
            start = delivery.settings["columns"]["period_start"]
            starts = [line[start] for line in invoice_rows(content, delivery.settings)]
            # An invoice's total is of the day on which its first line starts.
            dates = [invoice_moment(said, delivery.settings).date() if said else None for said in starts]
            first = min(day for day in dates if day is not None)
            rows.update(day or first for day in dates)
    return rows


def _feed(project: Project, spool: Spool) -> Coverage:
    """A feed speaks for every day from its first row to what it last said."""
    covered: Coverage = {}
    for account in {account for account, _ in spool.rows_by_day}:
        days = [day for name, day in spool.rows_by_day if name == account]
        stated_at = max(delivery.stated_at for delivery in project.of("spool") if delivery.account == account)
        day = min(days)
        while day <= max(stated_at.date(), *days):
            rows = spool.rows_by_day.get((account, day), 0)
            settled_at = min(stated_at, midnight(day) + DAY + _FEED_MATURES)
            covered[day, "nvml_spool", account, "spool"] = Covered(rows, settled_at)
            day += DAY
    return covered


def calendar_days(project: Project, coverage: Coverage) -> list[date]:
    """From the first day with data to the day of the as-of moment."""
    days = [min(key[0] for key in coverage)]
    while days[-1] < project.as_of.date():
        days.append(days[-1] + DAY)
    return days


def source_days(project: Project, coverage: Coverage, *, days: list[date]) -> Rows:
    """fct_source_coverage_daily."""
    rows: Rows = {}
    for source, account, dataset in {key[1:] for key in coverage}:
        own = {
            day: coverage[day, source, account, dataset] for day in days if (day, source, account, dataset) in coverage
        }
        lag = settle_lag(project, source=source, account=account, dataset=dataset)
        for day in days:
            if day not in own and (day < min(own) or not states_days(dataset)):
                continue
            found = own.get(day)
            if midnight(day) + DAY > project.as_of:
                status = "open"
            elif found is None:
                status = "missing"
            else:
                status = "settled" if found.stated_at >= midnight(day) + DAY + lag else "provisional"
            rows[day, source, account, dataset] = {
                "status": status,
                "row_count": found.rows if found else None,
                "stated_at": found.stated_at if found else None,
                "is_blocked": False,
            }
    return rows


def day_statuses(project: Project, sources: Rows, *, days: list[date]) -> Rows:
    """fct_day_status_daily: a day is the least of the books that state days."""
    rows: Rows = {}
    for day in days:
        statuses = [
            row["status"]
            for (own_day, source, account, dataset), row in sources.items()
            if own_day == day and states_days(dataset) and project.source(source, account).get("role") != "control"
        ]
        if not statuses:
            raise ValueError(f"no source states {day}: the oracle has no status for it")
        rows[day,] = {"status": min(statuses, key=_RANKS.index), "source_count": len(statuses), "blocked_count": 0}
    return rows


def sources(project: Project, coverage: Coverage) -> Rows:
    """dim_source."""
    last_over = project.as_of.date() - DAY
    rows: Rows = {}
    for source, account, dataset in {key[1:] for key in coverage}:
        own = {key[0]: found for key, found in coverage.items() if key[1:] == (source, account, dataset)}
        rows[source, account, dataset] = {
            "issuer": _issuer(source, account),
            "role": _role(project, source, account, dataset),
            "is_invoice": dataset == "invoice",
            "is_waited_for": states_days(dataset) and project.source(source, account)["role"] != "control",
            "first_usage_date": min(own),
            "last_usage_date": max(own),
            "row_count": sum(found.rows for found in own.values()),
            "silent_since_date": max(own) + DAY if max(own) < last_over and dataset != "invoice" else None,
        }
    rows |= _rates(project) | _endpoints_never_asked(project, rows.keys())
    silent = {(one["source"], one["account"]) for one in project.config["sources"]} - {key[:2] for key in rows}
    if silent:
        raise ValueError(f"{silent} never delivered: the oracle does not know their datasets")
    return rows


def _issuer(source: str, account: str) -> str:
    vendor = source.partition("_")[0]
    return vendor if vendor in ("anthropic", "openai") else account


def _role(project: Project, source: str, account: str, dataset: str) -> str:
    """Only money has a book; what a control meters is a control too."""
    role = str(project.source(source, account)["role"])
    is_metered = dataset in ("messages_usage", "spool", *openai.ENDPOINTS)
    return "metered" if is_metered and role != "control" else role


def _endpoints_never_asked(project: Project, known: Iterable[tuple[Any, ...]]) -> Rows:
    """OpenAI's endpoints are datasets each; one that never delivered is there without dates."""
    rows: Rows = {}
    heard = set(known)
    for one in project.config["sources"]:
        for dataset in openai.DATASETS.get(one["source"], ()):
            source, account = one["source"], one["account"]
            if (source, account, dataset) not in heard and any(key[:2] == (source, account) for key in heard):
                rows[source, account, dataset] = {
                    "issuer": _issuer(source, account),
                    "role": _role(project, source, account, dataset),
                    "is_invoice": False,
                    "is_waited_for": one["role"] != "control",
                    "first_usage_date": None,
                    "last_usage_date": None,
                    "row_count": None,
                    "silent_since_date": None,
                }
    return rows


def _rates(project: Project) -> Rows:
    """Feeds of exchange rates state no usage: they have dates of rates, and are silent once the last serves no more."""
    published = Rates(project).published
    if not published:
        return {}
    last, last_over = max(published), project.as_of.date() - DAY
    return {
        ("ecb_rates", "ecb", "reference_rates"): {
            "issuer": "ecb",
            "role": "reference",
            "is_invoice": False,
            "is_waited_for": False,
            "first_usage_date": min(published),
            "last_usage_date": last,
            # The euro itself is no row.
            "row_count": sum(len(said) - 1 for said in published.values()),
            "silent_since_date": last + DAY if last + 7 * DAY < last_over else None,
        }
    }
