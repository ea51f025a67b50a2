"""Which tests show which of thirty worked examples of cloud and GPU bills: read from the tests' docstrings."""

import re
from functools import cache
from pathlib import Path

from tests.wrong_cost_classes import TESTS, tests_in

# Number -> what is given, in a few words. A test that says "Case 7" in its docstring has the example's own figures.
CASES = {
    1: "$100.00, its credit, 2 cents and 1,000 yen in three equal parts",
    2: "a node-hour of $98.32 of which two deployments hold 4 and 2 of 8 GPUs",
    3: "the same, one of them there for half an hour",
    4: "$49.16 over tokens in and out, one out worth four in",
    5: "a deployment that costs and serves no tokens",
    6: "slices 3g and 2g of a GPU for $12.29",
    7: "one export, two invoices, each paid in whole cents",
    8: "a stale chunk beside the one that the manifest lists",
    9: "an export by the hour and one by the day",
    10: "doubles in Parquet, as the decimals that they spell",
    11: "GPU-hours of instances: not their disks' lines, not their tax's",
    12: "a tax of 0.38 shared by the cost of five instances",
    13: "a plan of $20 an hour, used for 420 of 480, at list 600",
    14: "a capacity block bought in October for October and November",
    15: "a closed month of Google's that the next invoice corrects",
    16: "an open month stated as 100.00, as 92.40, and as that again",
    17: "news of a month that is closed",
    18: "an invoice in dollars, reported in euros",
    19: "no exchange rate",
    20: "months of an issuer that begin at 21:00Z",
    21: "months of Google's, which are Pacific, with their clock changes",
    22: "straight-line depreciation that divides, and one that does not",
    23: "metered energy to the last digit, paid in whole cents",
    24: "AWS's split lines beside their server's",
    25: "AWS's example of a split of $10, to ten digits",
    26: "a line type and a column that nobody knows",
    27: "ten minutes without telemetry",
    28: "10^-18, exported",
    29: "a credit of 500.00 over three teams",
    30: "any weights, any sign",
}

_NUMBER = re.compile(r"\bCase ([1-9][0-9]?)\b")


@cache
def shown(folder: Path = TESTS) -> dict[int, list[str]]:
    """Number -> `file::test` of each test whose docstring names it, in order."""
    found: dict[int, list[str]] = {number: [] for number in CASES}
    for file in sorted(folder.rglob("test_*.py")):
        for name, docstring in tests_in(file):
            for number in dict.fromkeys(map(int, _NUMBER.findall(docstring))):
                found.setdefault(number, []).append(f"{file.relative_to(folder.parent).as_posix()}::{name}")
    return found
