"""What is no bill of a vendor's: our own records and declarations, answers to questions of ours, and meters by
endpoint, each as it should be and with what it says.
"""

import gzip
import io
import json
import re
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
from urllib3 import HTTPResponse

from pipeline.errors import QuarantineError, SourceError
from pipeline.landing.dataset import Frames, Settings
from pipeline.sources import (
    ecb_rates,
    kube_api,
    nvml_spool,
    openai_dashboard_csv,
    openai_usage_api,
    owned_gpus,
    prometheus,
)
from pipeline.sources import prometheus_tables as tables
from tests.pipeline import small_project as small
from tests.sources import openai_admin_api, prometheus_fleet
from tests.sources.damage_says import (
    AmbiguousError,
    Format,
    Says,
    column_read,
    csv_says,
    json_of,
    json_says,
    number,
    records,
    text_of,
    total,
)
from tests.sources.prometheus_api import PrometheusApi


def own_formats() -> dict[str, Format]:
    """Each by its source, and its dataset where there are several."""
    return {
        "nvml_spool": Format(
            small.spool_file("2026-11-01"), nvml_spool.parse, {}, _spool_rows, _spool_lines,
        ),
        "owned_gpus": Format(
            json.dumps(_OWNED).encode(), owned_gpus.parse, {}, column_read(owned_gpus.CHARGES.name, "amount"),
            _owned_says,
        ),
        **_used(),
        **_scraped(),
        "kube_api": Format(_NODES, _cluster, {}, column_read("nodes", "gpu_count"), _cluster_says),
        "ecb_rates": Format(
            b"Date,USD,JPY,\n2026-11-19,1.1201,175.1,\n2026-11-18,1.1190,N/A,\n",
            ecb_rates.parse, {}, column_read("rates", "rate"), _ecb_says,
        ),
    }  # fmt: skip


def _spool_lines(content: bytes) -> Decimal:
    """Whatever becomes of a line, it is in a table, refused by name or read."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return Decimal(sum(1 for line in lines if line.strip()))


def _spool_rows(frames: Frames) -> Decimal:
    return Decimal(frames[nvml_spool.GPU_SAMPLES.name].height + frames[nvml_spool.AGENT_RECORDS.name].height)


_OWNED = {
    "schema": owned_gpus.SCHEMA, "from": "2026-10-01", "to": "2026-11-15",
    "assets": [
        {"asset_id": f"node-{number}", "host": f"h-{number}", "gpu_count": 4, "capex": "100", "residual": "100",
         "months": 48, "in_service": day, "currency": "USD", "hosting_monthly": hosting}
        for number, day, hosting in ((1, "2026-01-01", "450.00"), (2, "2026-10-20", "93"))
    ],
}  # fmt: skip


def _owned_says(content: bytes) -> Decimal:
    """What hosting comes to, by days of the calendar. What wears out is added up elsewhere: of it nothing is said."""
    said = json_of(text_of(content))
    try:
        start, stop = date.fromisoformat(said["from"]), date.fromisoformat(said["to"])
        found = Fraction(0)
        for asset in said["assets"]:
            if Decimal(asset["capex"]) != Decimal(asset["residual"]) or asset.get("power_watts") is not None:
                raise AmbiguousError("it wears out, or takes power")
            day = max(start, date.fromisoformat(asset["in_service"]))
            end = min(stop, date.fromisoformat(asset["out_of_service"])) if asset.get("out_of_service") else stop
            while day < end and asset.get("hosting_monthly") is not None:
                found += Fraction(asset["hosting_monthly"].strip()) / monthrange(day.year, day.month)[1]
                day += timedelta(days=1)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise AmbiguousError(f"spelled as nobody does: {error}") from None
    return Decimal(found.numerator) / Decimal(found.denominator)


def _used() -> dict[str, Format]:
    """Two days of each usage endpoint of OpenAI's, as its API answers them and as the dashboard exports them."""
    found = {}
    for endpoint in openai_usage_api.ENDPOINTS:
        counts = {name: 1200 + number for number, name in enumerate(endpoint.counts)}
        said = {"object": endpoint.object_name, "project_id": "p", "model": "gpt-5", **counts}
        days = (openai_admin_api.bucket(f"2026-11-0{day}", said, said) for day in (1, 2))
        read = column_read(endpoint.table.name, endpoint.counts[0])
        found[f"openai_usage_api, {endpoint.name}"] = Format(
            openai_admin_api.page(*days),
            endpoint.parse,
            {},
            read,
            json_says("data", "*", "results", "*", f"?{endpoint.counts[0]}"),
            dataset=endpoint.name,
        )
        found[f"openai_dashboard_csv, {endpoint.name}"] = Format(
            _exported(endpoint.counts),
            openai_dashboard_csv.Activity(endpoint).parse,
            {},
            read,
            csv_says(endpoint.counts[0], optional=True, may_lack=True),
            dataset=endpoint.name,
        )
    return found


def _exported(counts: Sequence[str]) -> bytes:
    rows = [",".join(("start_time", "end_time", "start_time_iso", "end_time_iso", *counts, "project_id"))]
    for day, start in enumerate((1_793_491_200, 1_793_577_600), start=1):
        times = f"{start},{start + 86_400},2026-11-0{day}T00:00:00+00:00,2026-11-0{day + 1}T00:00:00+00:00"
        rows.append(",".join((times, *(f"{1200 + number}.0" for number in range(len(counts))), "p")))
    return "".join(f"{row}\n" for row in rows).encode()


_SCRAPED_FROM, _SCRAPED_TO = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 0, 20, tzinfo=UTC)


def _scraped() -> dict[str, Format]:
    """The answers to what a Prometheus is asked, as they land: twenty minutes of an engine, of a GPU and of a pod."""
    fleet = prometheus_fleet.Fleet(
        start=_SCRAPED_FROM,
        stop=_SCRAPED_TO,
        every_ms=60_000,
        gpus=[prometheus_fleet.Gpu("GPU-1")],
        engines=[prometheus_fleet.Engine(_SCRAPED_FROM, _SCRAPED_TO)],
        pods=[prometheus_fleet.Pod()],
    )
    api = PrometheusApi(series=fleet.series())
    found = {}
    for series, parse, table, column, expected in (
        (
            prometheus.ENGINES,
            tables.parse_engines,
            tables.ENGINE_SAMPLES,
            "interval_ms",
            20 * 60_000,
        ),
        (prometheus.DCGM, tables.parse_gpus, tables.GPU_SAMPLES, "util_gpu_pct", 20 * 80),
        (prometheus.KUBE, tables.parse_pods, tables.PODS, "requested_gpus_ppm", 1_000_000),
    ):
        selector = series.selector({}, jobs=["vllm"] if series is prometheus.ENGINES else [])
        is_of_pods = series is prometheus.KUBE
        query = prometheus.pods_expression({}, 1_200_000) if is_of_pods else f"{selector}[1200000ms]"
        asked = [("query", query), ("time", f"{_SCRAPED_TO.timestamp() - 0.001:.3f}")]
        answer = gzip.decompress(api.answer("/api/v1/query", asked, {}).body)
        content = prometheus.payload_of(series, selector, _SCRAPED_FROM, _SCRAPED_TO, answer).content
        found[f"prometheus, {series.dataset}"] = Format(
            content,
            parse,
            {},
            column_read(table.name, column),
            _only_said_by(content, expected),
            dataset=series.dataset,
        )
    return found


def _only_said_by(undamaged: bytes, expected: int) -> Says:
    """Of what another number, label or moment would be read as, nothing is said: it is another scrape."""

    def says(content: bytes) -> Decimal:
        if content != undamaged:
            raise AmbiguousError("another answer")
        return Decimal(expected)

    return says


def _cluster(content: bytes, settings: Settings) -> Frames:
    """A list of nodes as the API of Kubernetes answers."""

    class Pool:
        def request(self, *_: Any, **__: Any) -> Any:
            return HTTPResponse(body=io.BytesIO(content), status=200, preload_content=False)

    try:
        nodes = list(kube_api._nodes(list(kube_api._listed(Pool(), "https://x/api/v1/nodes"))))  # type: ignore[arg-type]
    except SourceError as error:
        raise QuarantineError(str(error)) from None
    return {
        "nodes": pl.DataFrame({"gpu_count": [str(node.gpu_count) for node in nodes]}, schema={"gpu_count": pl.String()})
    }


def _cluster_says(content: bytes) -> Decimal:
    found = json.loads(content, object_pairs_hook=dict)
    counts: list[Decimal] = []
    for item in found["items"]:
        capacity = (item.get("status") or {}) if isinstance(item, dict) else {}
        capacity = (capacity.get("capacity") or {}) if isinstance(capacity, dict) else {}
        for name, value in capacity.items() if isinstance(capacity, dict) else ():
            if re.search(r"(?:^|[./])gpu$", name) and re.fullmatch("[0-9]+", str(value), re.ASCII):
                counts.append(Decimal(str(value)))
    return total(iter(counts))


_NODES = json.dumps({
    "kind": "NodeList", "metadata": {}, "items": [
        {"metadata": {"name": f"node-{number}", "labels": {"nvidia.com/gpu.product": "H100"}},
         "status": {"capacity": {"cpu": "64", "nvidia.com/gpu": str(number)}}}
        for number in (8, 4)
    ],
}).encode()  # fmt: skip


def _ecb_says(content: bytes) -> Decimal:
    return total(
        number(cell)
        for row in records(content)
        for name, cell in row.items()
        if name not in ("date", "") and cell not in ("N/A", "")
    )
