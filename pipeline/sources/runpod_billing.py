"""RunPod's billing history: what pods, serverless endpoints and network volumes cost by UTC day, from its REST API v1.

`GET https://rest.runpod.io/v1/billing/{pods,endpoints,networkvolumes}` (its OpenAPI, read 2026-11-29) answers a list of
`{amount, time, timeBilledMs, diskSpaceBilledGb, podId | endpointId | networkVolumeId}` without pages, one a bucket and
group. `amount` is in US dollars, after discounts, and a binary float: what is finer than 10^-18 is rounded away and the
spelling kept. The three answers of a window are one delivery, so that a day is counted whole, or as it was.

A pod's time is that of the pod, whatever number of GPUs it has, which no answer says: `gpu_resources` (issuer: the
account; resource_id: the pod's id) says how many, and makes its cost the cost of a GPU. Everything else stays a line of
the bill. Tax and credits bought are in no answer: credits are `prepaid_csv`, with the account's name as the issuer.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from pipeline.errors import QuarantineError
from pipeline.formats.values import count, exact_json, instant, other_columns, text_or_none
from pipeline.landing.dataset import Dataset, Frames, Settings
from pipeline.landing.times import DAY, as_utc, day_start
from pipeline.sources.asking import page_probe
from pipeline.sources.focus_shape import CHARGES, DATASET
from pipeline.sources.http import (
    RFC3339,
    PagedApi,
    Params,
    check_in_window,
    day_windows,
    fetch_answer,
    paged_api,
    window_of,
    window_settings,
)
from pipeline.sources.openai_costs_api import amount_text, is_json
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "runpod_billing"
BASE_URL = "https://rest.runpod.io/v1"
_SELLER = "RunPod"
_CURRENCY = "USD"
# What is asked for: the path, and by what its rows are told apart.
_ENDPOINTS: Mapping[str, str] = {"pods": "podId", "endpoints": "endpointId", "networkvolumes": "networkVolumeId"}
_SERVICES: Mapping[str, str] = {"podId": "Pods", "endpointId": "Serverless", "networkVolumeId": "Network Volumes"}
_READ = ("amount", "time", "timeBilledMs", "diskSpaceBilledGb", *_SERVICES)
_MARKS = (b'"timeBilledMs"', b'"diskSpaceBilledGb"')
_HOUR_MS = 3_600_000
# A day of a million pods.
_MOST_MS = 24 * _HOUR_MS * 10**6


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """The window in deliveries of at most 31 days, each of all three answers."""
    for start, stop in day_windows(context, source=NAME, dataset=DATASET, days=31):
        payloads, stated_at = [], None
        for endpoint in _ENDPOINTS:
            content, stated_at = fetch_answer(
                _api(context, endpoint), _asked(endpoint, start, stop), is_answer=_is_list
            )
            payloads.append(Payload(name=f"{endpoint}.json", content=content, media_type="application/json"))
        yield Fetched(
            dataset=DATASET,
            payloads=tuple(payloads),
            from_at=start,
            to_at=stop,
            stated_at=stated_at,
            stated_by="http_date" if stated_at else "landed_at",
            settings=window_settings(start, stop),
            request={"url": _api(context, "pods").url, "params": [list(pair) for pair in _asked("pods", start, stop)]},
        )


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the key may read billing: what pods cost yesterday."""
    today = day_start(as_utc(context.now).date())
    asked = _asked("pods", today - DAY, today)
    return (
        page_probe(partial(_api, context, "pods"), context=context, dataset=DATASET, params=asked, is_answer=_is_list),
    )


def _asked(endpoint: str, start: datetime, stop: datetime) -> Params:
    grouping = [("grouping", _ENDPOINTS[endpoint])] if endpoint != "networkvolumes" else []
    return [("bucketSize", "day"), *grouping, ("startTime", RFC3339.spell(start)), ("endTime", RFC3339.spell(stop))]


def _api(context: FetchContext, endpoint: str) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url=BASE_URL,
        path=f"/billing/{endpoint}",
        key_env="RUNPOD_API_KEY",
        key_header="authorization",
        key_scheme="Bearer ",
        permission="a RunPod API key that may read billing",
        headers={},
    )


def _is_list(answer: object) -> bool:
    return isinstance(answer, list)


def recognise(name: str, head: bytes) -> str | None:
    """By what only its records have."""
    return DATASET if is_json(head) and any(mark in head for mark in _MARKS) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A saved answer, which is refused: without the two others it is a part of its days."""
    return Fetched(dataset=DATASET, payloads=(Payload(name=name, content=content, media_type="application/json"),))


def parse(content: bytes, settings: Settings) -> Frames:
    """Every record of one of the three answers, under FOCUS's names."""
    if window_of(settings) is None:
        raise QuarantineError(
            "A saved answer of RunPod's is one of three: counted alone it would replace the days of the others. Give "
            "the source a key (key_env) instead of an inbox."
        )
    rows = [_row(where, record, settings) for where, record in _records(content)]
    return {CHARGES.name: pl.DataFrame(rows, schema=CHARGES.schema, orient="row")}


def _records(content: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    answer = exact_json(content)
    if not isinstance(answer, list):
        raise QuarantineError("This is not a list of billing records.")
    for number, record in enumerate(answer, start=1):
        if not isinstance(record, dict):
            raise QuarantineError(f"record {number}: not an object.")
        yield f"record {number}", record


def _row(where: str, record: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    time = record.get("time")
    # "2026-11-03 00:00:00" is met beside the instant that the specification shows.
    spelled = f"{time.replace(' ', 'T', 1).removesuffix('Z')}Z" if isinstance(time, str) else time
    day = instant(spelled, name="time", where=where).date()
    check_in_window(day, settings=settings, where=where)
    amount, rounded = amount_text(record.get("amount"), name="amount", where=where)
    told_by = next((name for name in _SERVICES if record.get(name)), "networkVolumeId")
    milliseconds = count(record.get("timeBilledMs"), name="timeBilledMs", where=where)
    if milliseconds is not None and milliseconds > _MOST_MS:
        raise QuarantineError(f"{where}: timeBilledMs is {milliseconds}, more than a day of any account has.")
    gigabytes = count(record.get("diskSpaceBilledGb"), name="diskSpaceBilledGb", where=where)
    in_time = milliseconds is not None and told_by != "networkVolumeId"
    month = datetime(day.year, day.month, 1)  # noqa: DTZ001 - UTC, as every instant of a table is
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - UTC, as every instant of a table is
    others = {name: value for name, value in record.items() if name not in _READ and value is not None} | rounded
    if gigabytes is not None and in_time:
        others["diskSpaceBilledGb"] = gigabytes
    said: dict[str, Any] = {
        "bucket": day.isoformat(),
        "usage_date": day,
        "billing_account_id": _SELLER,
        "billing_currency": _CURRENCY,
        "billing_period_start": month,
        "charge_period_start": start,
        "charge_period_end": start + DAY,
        "invoice_issuer_name": _SELLER,
        "provider_name": _SELLER,
        "charge_category": "Usage",
        "pricing_category": "Standard",
        "billed_cost": Decimal(amount),
        "effective_cost": Decimal(amount),
        "service_name": _SERVICES[told_by],
        "sku_id": text_or_none(record.get("gpuTypeId"), name="gpuTypeId", where=where),
        "resource_id": text_or_none(record.get(told_by), name=told_by, where=where),
        "consumed_quantity": _hours(milliseconds) if in_time else None if gigabytes is None else Decimal(gigabytes),
        "consumed_unit": "Hours" if in_time else None if gigabytes is None else "GB",
        "other_columns": other_columns(others),
    }
    return {name: said.get(name) for name in CHARGES.schema}


def _hours(milliseconds: int | None) -> Decimal:
    """To 10^-18, from which the milliseconds come back exactly."""
    return (Decimal(milliseconds or 0) / _HOUR_MS).quantize(Decimal(1).scaleb(-18))


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="utc_day",
            measure="billed",
            tables=(CHARGES,),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    probe=probe,
)
