"""Which tests cover which class of wrong bill (B1 to B30): read from the docstrings of the tests themselves."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]

# Class -> what it is, in a few words; each has produced wrong bills in a public tool.
CLASSES = {
    "B1": "cached tokens inside or outside the prompt's",
    "B2": "reasoning tokens counted beside output",
    "B3": "cache write lifetimes, overlapping modalities",
    "B4": "a missing rate became 0 or a default",
    "B5": "per-call tiers on sums, batch discounts, regions",
    "B6": "rates without dates, history repriced",
    "B7": "cents for dollars, floats for money",
    "B8": "day boundaries, daylight saving, time zones",
    "B9": "the same delivery twice, overlapping exports, partial files",
    "B10": "late, restated, refunded days",
    "B11": "a price that arrives after the cost",
    "B12": "joins that fan out or drop",
    "B13": "idle that vanishes or goes negative, divisors of zero weight",
    "B14": "a price per token where none was served",
    "B15": "counter resets, churning replicas, scrape gaps",
    "B16": "a lifetime counter used as a period's",
    "B17": "a metric whose unit or meaning changed",
    "B18": "utilization read as work done; shared GPUs",
    "B19": "a telemetry gap called idle",
    "B20": "commitments: covered, unused, upfront",
    "B21": "calls that are billed and unmetered",
    "B22": "one dollar with two homes",
    "B23": "currencies summed, labels that are not the unit",
    "B24": "priority tier, tools, storage, egress left out",
    "B25": "capital cost: per year, residual, PUE, power times period",
    "B26": "break-even at full load, without spares, of unlike models",
    "B27": "alerts after a restart or from many workers",
    "B28": "verdicts on a day that is not over",
    "B29": "edges of incremental windows",
    "B30": "averages of ratios",
}

# Classes that no source of this release can produce. CUR and FOCUS brought commitments, the last of them.
NOT_TOUCHED: frozenset[str] = frozenset()

_ID = re.compile(r"\bB([1-9]|[12][0-9]|30)\b")


def tests_in(file: Path) -> Iterator[tuple[str, str]]:
    """(name, docstring) of every test function of a file."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


@cache
def coverage(folder: Path = TESTS) -> dict[str, list[str]]:
    """Class -> `file::test` of each test whose docstring names it, in order."""
    found: dict[str, list[str]] = {name: [] for name in CLASSES}
    for file in sorted(folder.rglob("test_*.py")):
        for name, docstring in tests_in(file):
            for number in dict.fromkeys(_ID.findall(docstring)):
                found[f"B{number}"].append(f"{file.relative_to(folder.parent).as_posix()}::{name}")
    return found
