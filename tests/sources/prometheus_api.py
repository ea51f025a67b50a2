"""A small Prometheus on loopback: raw samples by range selector, series and label names, with the limits and errors of
the real one, in the JSON shapes its documentation gives."""

import gzip
import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tests.sources.admin_api import Answer

TOKEN = "glsa_NEVER-PRINT-ME-0123456789"
# A sample is (milliseconds since the epoch, the value as the server spells it); None is a staleness marker.
Samples = Sequence[tuple[int, str | None]]

_RANGE = re.compile(r"^(.*)\[(\d+)ms\]$", re.DOTALL)
_COUNT = re.compile(r"^count\(last_over_time\((.*)\[(\d+)ms\]\)\)$", re.DOTALL)
_HOSTS = re.compile(r"^count by \(([\w,]+)\) \(last_over_time\((.*)\[(\d+)ms\]\)\)$", re.DOTALL)
_PODS = re.compile(
    r"^\(last_over_time\((.*?)\[(\d+)ms\]\) and on \(([\w,]+)\) last_over_time\((.*?)\[\d+ms\]\)\)"
    r" \* on \(([\w,]+)\) group_left \(\) max by \(\5\) \(last_over_time\((.*?)\[\d+ms\]\)\) or \(.*\)"
    r" or max by \(([\w,]+)\) \(last_over_time\((.*)\[\d+ms\]\)\)$",
    re.DOTALL,
)
_GROWN = re.compile(r"^max by \((\w*)\) \(sum by \(([\w,]+)\) \(increase\((.*)\[(\d+)ms\]\)\)\)$", re.DOTALL)
_SELECTOR = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)?(?:\{(.*)\})?$", re.DOTALL)
_MATCHER = re.compile(r'\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*,?')


@dataclass
class PrometheusApi:
    """`series`: (labels with __name__, samples). `faults` are answered first, one a request, `always` always.

    `is_closed`: a range includes its left end, as before Prometheus 3. `most_samples`: --query.max-samples.
    """

    series: list[tuple[dict[str, str], Samples]] = field(default_factory=list)
    faults: list[Answer] = field(default_factory=list)
    always: Answer | None = None
    is_closed: bool = False
    most_samples: int = 50_000_000
    token: str | None = None
    tenant: str | None = None
    warnings: tuple[str, ...] = ()
    prefix: str = ""
    version: str | None = "3.5.0"
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    base_url: str = ""

    @property
    def url(self) -> str:
        return self.base_url + self.prefix

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.asked.append((path, dict(params)))
        self.headers.append(headers)
        if self.always is not None:
            return self.always
        if self.faults:
            return self.faults.pop(0)
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            return Answer(status=401, body=b"Unauthorized\n")
        if self.tenant is not None and headers.get("x-scope-orgid") != self.tenant:
            return Answer(status=401, body=b"no org id\n")
        asked = dict(params)
        if path == f"{self.prefix}/api/v1/query":
            return self._query(asked["query"], round(float(asked["time"]) * 1000))
        if path == f"{self.prefix}/api/v1/series":
            matches = [value for name, value in params if name == "match[]"]
            return self._success(self._seen(matches, asked), headers)
        if path == f"{self.prefix}/api/v1/label/__name__/values":
            found = self._seen([value for name, value in params if name == "match[]"] or ['{__name__=~".+"}'], asked)
            return self._success(sorted({labels["__name__"] for labels in found}), headers)
        if path == f"{self.prefix}/api/v1/status/buildinfo" and self.version is not None:
            return self._success({"version": self.version, "revision": "abc", "goVersion": "go1.24"}, headers)
        return Answer(status=404, body=b"404 page not found\n")

    def _query(self, query: str, at_ms: int) -> Answer:
        pods = _PODS.match(query)
        if pods is not None:
            start_ms = at_ms - int(pods[2])
            there = self._pods(pods[1], pods[3].split(","), pods[4], pods[5].split(","), pods[6], start_ms, at_ms)
            asked = self._most(pods[7].split(","), pods[8], start_ms, at_ms)
            return self._success({"resultType": "vector", "result": [*there, *asked]}, {"accept-encoding": "gzip"})
        counted = _COUNT.match(query)
        if counted is not None:
            start_ms = at_ms - int(counted[2]) + 1
            there = [
                held for labels, held in self.series if selects(counted[1], labels) and _within(held, start_ms, at_ms)
            ]
            result = [{"metric": {}, "value": [at_ms / 1000, str(len(there))]}] if there else []
            return self._success({"resultType": "vector", "result": result}, {"accept-encoding": "gzip"})
        hosts = _HOSTS.match(query)
        if hosts is not None:
            return self._hosts(hosts[1].split(","), hosts[2], at_ms - int(hosts[3]), at_ms)
        grown = _GROWN.match(query)
        if grown is not None:
            return self._grown(grown[1], grown[2].split(","), grown[3], at_ms - int(grown[4]), at_ms)
        ranged = _RANGE.match(query)
        if ranged is None:
            return refused(400, "bad_data", f'invalid parameter "query": parse error: {query}')
        length_ms = int(ranged[2])
        result: list[dict[str, Any]] = []
        for labels, samples in self.series:
            if not selects(ranged[1], labels):
                continue
            begin = at_ms - length_ms + (0 if self.is_closed else 1)
            inside = [one for one in _within(samples, begin, at_ms) if one[1] is not None]
            if inside:
                result.append({"metric": labels, "values": [[at / 1000, value] for at, value in inside]})
        if sum(len(item["values"]) for item in result) > self.most_samples:
            return refused(
                422,
                "execution",
                "query processing would load too many samples into memory in query execution",
            )
        return self._success({"resultType": "matrix", "result": result}, {"accept-encoding": "gzip"})

    def _hosts(self, by: list[str], selector: str, start_ms: int, at_ms: int) -> Answer:
        """`count by (by) (last_over_time(selector))`: a label that is empty is not there."""
        counts = Counter(
            tuple((name, labels[name]) for name in by if labels.get(name))
            for labels, held in self.series
            if selects(selector, labels) and _within(held, start_ms + 1, at_ms)
        )
        result = [{"metric": dict(key), "value": [at_ms / 1000, str(count)]} for key, count in counts.items()]
        return self._success({"resultType": "vector", "result": result}, {"accept-encoding": "gzip"})

    def _pods(
        self, info: str, on: list[str], other: str, by: list[str], made: str, start_ms: int, at_ms: int
    ) -> list[dict[str, Any]]:
        """`(info and on (...) other) * on (by) group_left () max by (by) (made) or (info and ...)`, each the last."""
        there = [(labels, held) for labels, seen in self.series if (held := _within(seen, start_ms + 1, at_ms))]
        wanted = {tuple(labels.get(name, "") for name in on) for labels, _ in there if selects(other, labels)}
        most: dict[tuple[str, ...], float] = {}
        for labels, held in there:
            if selects(made, labels):
                key = tuple(labels.get(name, "") for name in by)
                most[key] = max(most.get(key, 0.0), float(held[-1][1] or "nan"))
        return [
            {
                "metric": {name: text for name, text in labels.items() if name != "__name__"},
                "value": [at_ms / 1000, f"{most.get(tuple(labels.get(name, '') for name in by), 1):.15g}"],
            }
            for labels, _ in there
            if selects(info, labels) and tuple(labels.get(name, "") for name in on) in wanted
        ]

    def _most(self, by: list[str], selector: str, start_ms: int, at_ms: int) -> list[dict[str, Any]]:
        """`max by (by) (last_over_time(selector))`."""
        most: dict[tuple[tuple[str, str], ...], float] = {}
        for labels, seen in self.series:
            held = _within(seen, start_ms + 1, at_ms)
            if held and selects(selector, labels):
                key = tuple((name, labels[name]) for name in by if labels.get(name))
                most[key] = max(most.get(key, 0.0), float(held[-1][1] or "nan"))
        return [{"metric": dict(key), "value": [at_ms / 1000, f"{value:g}"]} for key, value in most.items()]

    def _grown(self, outer: str, inner: list[str], selector: str, start_ms: int, at_ms: int) -> Answer:
        """`max by (outer) (sum by (inner) (increase(selector[d])))`, without its extrapolation: a fall is a restart."""
        sums: dict[tuple[str, ...], float] = {}
        for labels, samples in self.series:
            inside = [float(value) for _, value in _within(samples, start_ms + 1, at_ms) if value is not None]
            if selects(selector, labels) and len(inside) > 1:
                moved = sum(later - earlier if later >= earlier else later for earlier, later in pairwise(inside))
                key = tuple(labels.get(name, "") for name in inner)
                sums[key] = sums.get(key, 0.0) + moved
        most: dict[str, float] = {}
        for key, value in sums.items():
            name = key[inner.index(outer)] if outer else ""
            most[name] = max(most.get(name, 0.0), value)
        result = [
            {"metric": {outer: name} if outer else {}, "value": [at_ms / 1000, f"{value:g}"]}
            for name, value in most.items()
        ]
        return self._success({"resultType": "vector", "result": result}, {"accept-encoding": "gzip"})

    def _seen(self, matches: Sequence[str], asked: Mapping[str, str]) -> list[dict[str, str]]:
        start, stop = (round(float(asked[name]) * 1000) for name in ("start", "end"))
        return [
            labels
            for labels, samples in self.series
            if any(selects(match, labels) for match in matches) and _within(samples, start, stop)
        ]

    def _success(self, data: object, headers: Mapping[str, str]) -> Answer:
        body: dict[str, Any] = {"status": "success", "data": data}
        if self.warnings:
            body["warnings"] = list(self.warnings)
        content = json.dumps(body).encode()
        if "gzip" in headers.get("accept-encoding", ""):
            return Answer(headers={"Content-Encoding": "gzip"}, body=gzip.compress(content, mtime=0))
        return Answer(body=content)


def _within(samples: Samples, first_ms: int, last_ms: int) -> Samples:
    return samples[bisect_left(samples, first_ms, key=_moment) : bisect_right(samples, last_ms, key=_moment)]


def _moment(sample: tuple[int, str | None]) -> int:
    return sample[0]


def refused(status: int, kind: str, error: str) -> Answer:
    """An error as Prometheus says it."""
    return Answer(status=status, body=json.dumps({"status": "error", "errorType": kind, "error": error}).encode())


def selects(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether a vector selector takes a series; matchers are anchored, and a label that is not there is empty."""
    found = _SELECTOR.match(selector.strip())
    assert found is not None, selector
    if found[1] and labels["__name__"] != found[1]:
        return False
    rest = found[2] or ""
    matchers = _MATCHER.findall(rest)
    assert _MATCHER.sub("", rest).strip() == "", selector
    for name, how, text in matchers:
        value = labels.get(name, "")
        wanted = text.replace('\\"', '"').replace("\\\\", "\\")
        fits = value == wanted if how in ("=", "!=") else re.fullmatch(wanted, value) is not None
        if fits != (how in ("=", "=~")):
            return False
    return True


def ms(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1000)


def samples(
    start: datetime, values: Sequence[float | str | None], *, every_ms: int = 15_000
) -> list[tuple[int, str | None]]:
    """One sample each `every_ms` from start on."""
    first = ms(start)
    return [
        (first + number * every_ms, None if value is None else f"{value:g}" if isinstance(value, float) else str(value))
        for number, value in enumerate(values)
    ]
