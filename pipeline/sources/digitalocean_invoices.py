"""DigitalOcean's invoices by their items, from its API v2 or the CSV of one: droplets, GPU droplets and all else.

`GET /v2/customers/my/invoices` lists what was issued (`invoice_uuid`, `amount`, `invoice_period` YYYY-MM) and, as
`invoice_preview`, the month under way; `/{invoice_uuid}` pages its items (`invoice_items`, `links`, `meta.total`), and
`/{invoice_uuid}/summary` says what they come to (its OpenAPI, and the tests of its clients godo and pydo; read
2026-11-30). The CSV (`/{invoice_uuid}/csv`, or the console's) has the columns product, group_description, description,
hours, start, end, USD, project_name, category; other columns are kept. Amounts are US dollars as text, times UTC.

**What a delivery restates.** The bucket is the month: all of its invoices, or, until one is issued, the preview, which
is provisional, states no total here and goes once the invoice is there. The months of the last 62 days are asked for
anew. A page chain that does not come to `meta.total` items never counts.

**Tax and credits.** Whether they stand among the items is not documented. Where the items of an invoice do not come to
its amount the summary is asked for; where they come to exactly its `product_charges`, its overages, taxes and credits
are lines of the month. Anything else is left as the residual that it is. Of the summary only these amounts land: it
also says who is billed, and where they live.

What of an item is a GPU's, and how a CSV is read: `digitalocean_items`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import PurePath
from typing import Any

from pipeline.economics.closing import exact_sum
from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.formats.values import canonical_json, csv_header, exact_json
from pipeline.landing.dataset import Dataset
from pipeline.landing.times import as_utc
from pipeline.sources.asking import page_probe
from pipeline.sources.data_exports import month_of
from pipeline.sources.digitalocean_items import BESIDE, COLUMNS, is_entry, parse
from pipeline.sources.gpu_bill import CHARGE_KINDS, DATASET, LINES, TOTALS
from pipeline.sources.http import PagedApi, fetch_answer, paged_api
from pipeline.sources.openai_costs_api import is_json
from pipeline.sources.source import FetchContext, Fetched, Payload, Probe, Source

NAME = "digitalocean_invoices"
BASE_URL = "https://api.digitalocean.com"
_PATH = "/v2/customers/my/invoices"
_PAGE = 200
_MOST_PAGES = 1000
_RESTATED_DAYS = 62


def fetch(context: FetchContext) -> Iterator[Fetched]:
    """A delivery for each month of the window that has an invoice or is under way. Raises SourceError."""
    api = _api(context)
    start, end = context.start_of(DATASET), as_utc(context.to_at)
    pages, is_whole, _ = _pages(api, "invoices")
    nameless = [entry for _, page in pages for entry in page["invoices"] if not is_entry(entry)]
    for period, listed in _by_month(pages):
        month_start, month_end = month_of(period)
        if month_start >= end or (start is not None and month_end <= as_utc(start)):
            continue
        asked = [_invoice(api, entry, is_preview=is_preview) for entry, is_preview in listed]
        said_at = [one.said_at for one in asked if one.said_at is not None]
        content = b'{"invoice_period": "%s", "invoices": [%s]}' % (
            period.encode(),
            b", ".join(one.text for one in asked),
        )
        yield Fetched(
            dataset=DATASET,
            payloads=(Payload(name=f"{period}.json", content=content, media_type="application/json"),),
            from_at=month_start,
            to_at=min(month_end, end),
            complete=is_whole and _is_all_of(period, listed, nameless) and all(one.is_whole for one in asked),
            stated_at=max(said_at) if len(said_at) == len(asked) else None,
            stated_by="http_date" if len(said_at) == len(asked) else "landed_at",
            settings={**_declared(context.settings), "billing_period": period},
            request={"url": api.url, "invoices": [str(entry.get("invoice_uuid")) for entry, _ in listed]},
        )
    if nameless:
        raise SourceError(
            f"{NAME} of {context.account}: {len(nameless)} of the invoices that are listed name no month or nothing by "
            f"which they can be asked for, the first of them {str(nameless[0])[:200]!r}. Every other one is landed; "
            "drop the CSV of such a one."
        )


def _is_all_of(period: str, listed: Sequence[tuple[Mapping[str, Any], bool]], nameless: Sequence[object]) -> bool:
    """Whether a month's entries are each invoice of it once: a list that grows between two pages says one twice."""
    names = {entry["invoice_uuid"] for entry, _ in listed}
    of_it = [entry for entry in nameless if isinstance(entry, dict) and entry.get("invoice_period") == period]
    return len(names) == len(listed) and not of_it


def probe(context: FetchContext) -> tuple[Probe, ...]:
    """Whether the token may read billing: one invoice of the list."""
    return (
        page_probe(
            partial(_api, context),
            context=context,
            dataset=DATASET,
            params=[("per_page", "1")],
            is_answer=partial(_has_list, "invoices"),
        ),
    )


def _api(context: FetchContext) -> PagedApi:
    return paged_api(
        context,
        source=NAME,
        base_url=BASE_URL,
        path=_PATH,
        key_env="DIGITALOCEAN_TOKEN",
        key_header="authorization",
        key_scheme="Bearer ",
        permission="a DigitalOcean API token with the scope billing:read",
        headers={},
    )


def _pages(api: PagedApi, named: str) -> tuple[list[tuple[bytes, Mapping[str, Any]]], bool, datetime | None]:
    """The pages of a list, whether they are all of it, and when the last was said. The next is asked for by its number:
    the address that an answer gives for it may be anybody's, and the token goes with the question. Where the number is
    not heeded, and the same page comes again, they are not.
    """
    pages: list[tuple[bytes, Mapping[str, Any]]] = []
    count, said_at = 0, None
    while len(pages) < _MOST_PAGES:
        asked = [("page", str(len(pages) + 1)), ("per_page", str(_PAGE))]
        content, said_at = fetch_answer(api, asked, is_answer=partial(_has_list, named))
        page = exact_json(content)
        if page[named] and pages and page[named] == pages[-1][1][named]:
            break
        pages.append((content, page))
        count += len(page[named])
        if not _says_next(page) or not page[named]:
            break
    return pages, not _says_next(pages[-1][1]) and count == _total(pages[-1][1]), said_at


def _has_list(named: str, answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get(named), list)


def _says_next(page: Mapping[str, Any]) -> bool:
    links = page.get("links")
    pages = links.get("pages") if isinstance(links, dict) else None
    return isinstance(pages, dict) and bool(pages.get("next"))


def _total(page: Mapping[str, Any]) -> object:
    meta = page.get("meta")
    return meta.get("total") if isinstance(meta, dict) else None


def _by_month(
    pages: Sequence[tuple[bytes, Mapping[str, Any]]],
) -> Iterator[tuple[str, list[tuple[Mapping[str, Any], bool]]]]:
    """Month -> its invoices as the list has them, each with whether it is the preview; the earliest month first."""
    months: dict[str, list[tuple[Mapping[str, Any], bool]]] = {}
    for _, page in pages:
        for entry in page["invoices"]:
            if is_entry(entry):
                months.setdefault(entry["invoice_period"], []).append((entry, False))
    preview = pages[0][1].get("invoice_preview")
    if is_entry(preview) and preview["invoice_period"] not in months:
        months[preview["invoice_period"]] = [(preview, True)]
    yield from sorted(months.items())


@dataclass(frozen=True)
class _Asked:
    """An invoice's answers as one JSON object, as they came; what the summary says of persons is not in it."""

    text: bytes
    is_whole: bool
    said_at: datetime | None


def _invoice(api: PagedApi, entry: Mapping[str, Any], *, is_preview: bool) -> _Asked:
    own = replace(api, url=f"{api.url}/{entry['invoice_uuid']}")
    pages, is_whole, said_at = _pages(own, "invoice_items")
    summary = "null"
    if not is_preview and not _comes_to(entry.get("amount"), pages):
        content, _ = fetch_answer(replace(own, url=f"{own.url}/summary"), [], is_answer=_is_summary)
        said = exact_json(content)
        names = ("invoice_uuid", "billing_period", "amount", "product_charges", *BESIDE)
        summary = canonical_json({name: said[name] for name in names if name in said})
    text = b'{"listed": %s, "is_preview": %s, "pages": [%s], "summary": %s}' % (
        canonical_json(entry).encode(),
        b"true" if is_preview else b"false",
        b", ".join(content for content, _ in pages),
        summary.encode(),
    )
    return _Asked(text, is_whole, said_at)


def _is_summary(answer: object) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("product_charges"), dict)


def _comes_to(amount: object, pages: Sequence[tuple[bytes, Mapping[str, Any]]]) -> bool:
    """Whether the items add up to it. What cannot be read does not: its reader says why."""
    try:
        items = [Decimal(str(item["amount"])) for _, page in pages for item in page["invoice_items"]]
        return exact_sum(items) == Decimal(str(amount))
    except (ArithmeticError, KeyError, TypeError):
        return False


def recognise(name: str, head: bytes) -> str | None:
    """The columns of the CSV, or what only the API's answers have."""
    if set(COLUMNS) <= set(csv_header(head)):
        return DATASET
    return DATASET if is_json(head) and (b'"invoice_items"' in head or b'"invoice_period"' in head) else None


def drop(name: str, content: bytes, settings: Mapping[str, Any]) -> Fetched:
    """A dropped CSV is the whole invoice of its month, and is called as its file is."""
    declared = {**_declared(settings), "invoice_id": PurePath(name).stem}
    media_type = "application/json" if is_json(content[:100]) else "text/csv"
    payloads = (Payload(name=name, content=content, media_type=media_type),)
    try:
        lines = parse(content, declared)[LINES.name]
    except QuarantineError:
        return Fetched(dataset=DATASET, payloads=payloads, settings=declared)
    if lines.is_empty():
        return Fetched(dataset=DATASET, payloads=payloads, settings=declared)
    start, stop = month_of(lines["bucket"][0])
    return Fetched(dataset=DATASET, payloads=payloads, from_at=start, to_at=stop, settings=declared)


def check(settings: Mapping[str, Any], accounts: Collection[str]) -> None:
    """Raises ConfigError where a product or a group is declared to be what there is not."""
    declared = settings.get("charge_kind") or {}
    if not isinstance(declared, Mapping):
        raise ConfigError(key="settings.charge_kind", value=declared, fix="It maps a product or a group to a kind.")
    for theirs, kind in declared.items():
        if kind not in CHARGE_KINDS:
            raise ConfigError(
                key=f"settings.charge_kind.{theirs}", value=kind, fix=f"Known: {', '.join(CHARGE_KINDS)}."
            )


def _declared(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"charge_kind": dict(settings["charge_kind"])} if settings.get("charge_kind") else {}


SOURCE = Source(
    name=NAME,
    datasets=(
        Dataset(
            source=NAME,
            name=DATASET,
            mode="replace",
            bucket="invoice",
            measure="billed",
            tables=(LINES, TOTALS),
            parse=parse,
        ),
    ),
    recognise=recognise,
    drop=drop,
    fetch=fetch,
    trailing_days=_RESTATED_DAYS,
    probe=probe,
    check=check,
)
