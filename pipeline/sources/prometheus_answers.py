"""Answers of Prometheus' HTTP API, read: series with their samples, and label sets.

Prometheus 3 reads `series[d]` at T as (T-d, T], older ones as [T-d, T]: the one sample that an older server adds before
a window is dropped here. A series that ended is absent; what is answered as NaN is no reading.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import QuarantineError

_SHOWN = 300


@dataclass(frozen=True)
class RawSeries:
    """One series' samples in a window, oldest first: milliseconds since the epoch, and values as they were spelled."""

    labels: Mapping[str, str]
    at_ms: Sequence[int]
    values: Sequence[str]


def matrix_in(content: bytes, *, start_ms: int, stop_ms: int) -> list[RawSeries]:
    """The series of a range selector's answer, with their samples in [start_ms, stop_ms). QuarantineError.

    A series without a sample there, or of native histograms only, is left out.
    """
    return matrix_of(data_in(content), start_ms=start_ms, stop_ms=stop_ms)


def data_in(content: bytes) -> Any:
    """The `data` of an answer. QuarantineError where it is none of Prometheus' HTTP API."""
    try:
        answer = json.loads(content)
        if answer["status"] == "success":
            return answer["data"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise QuarantineError(f"this is no answer of Prometheus' HTTP API ({type(error).__name__}: {error}).") from None
    raise QuarantineError("this answer of Prometheus' HTTP API is an error.")


def matrix_of(data: Any, *, start_ms: int, stop_ms: int) -> list[RawSeries]:
    """What `matrix_in` says, of the `data` of an answer."""
    try:
        if data["resultType"] != "matrix":
            raise QuarantineError("the answer is no matrix: it does not come from a range selector.")
        found = []
        for item in data["result"]:
            labels, pairs = item["metric"], item.get("values", [])
            if not is_labels(labels):
                raise QuarantineError(f"a series whose labels are {str(labels)[:_SHOWN]}.")
            at_ms = [round(pair[0] * 1000) for pair in pairs]
            values = [pair[1] for pair in pairs]
            # A time that is infinite is none, and half a character is no label (JSON spells both).
            json.dumps(labels, ensure_ascii=False).encode()
            if not set(map(type, values)) <= {str}:
                raise QuarantineError(f"a value of {labels} is no text.")
            # They come in order, so what is outside is at the ends.
            first = next((place for place, at in enumerate(at_ms) if at >= start_ms), len(at_ms))
            last = next((place for place in range(len(at_ms), first, -1) if at_ms[place - 1] < stop_ms), first)
            if first < last:
                found.append(RawSeries(labels, at_ms[first:last], values[first:last]))
    except (ValueError, OverflowError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise QuarantineError(f"this is no matrix of Prometheus' HTTP API ({type(error).__name__}: {error}).") from None
    return found


def labels_of(data: Any) -> list[dict[str, str]]:
    """The label sets of an instant vector, in its order. QuarantineError where the `data` is none."""
    try:
        if data["resultType"] != "vector":
            raise QuarantineError("the answer is no vector: it comes from another question.")
        found = [item["metric"] for item in data["result"]]
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise QuarantineError(f"this is no vector of Prometheus' HTTP API ({type(error).__name__}: {error}).") from None
    if not all(is_labels(labels) for labels in found):
        raise QuarantineError("a series whose labels are no texts.")
    return found


def values_of(data: Any) -> list[tuple[dict[str, str], float]]:
    """The label sets of an instant vector with their values, in its order. QuarantineError where the `data` is none."""
    labels = labels_of(data)
    try:
        values = [float(item["value"][1]) for item in data["result"]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise QuarantineError(f"a value that is no number ({type(error).__name__}: {error}).") from None
    return list(zip(labels, values, strict=True))


def is_labels(item: object) -> bool:
    return isinstance(item, dict) and all(isinstance(value, str) for value in item.values())
