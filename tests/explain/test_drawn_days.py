"""The break-even's interval from what `explain verdict` prints: parsed, drawn again, and counted."""

import json
import math
import re
from collections import defaultdict
from fractions import Fraction
from random import Random
from typing import Any

from click.testing import CliRunner

from pipeline.cli import group


def table(told: dict[str, Any], title: str) -> list[dict[str, Any]]:
    return next(rows["rows"] for rows in told["inputs"] if rows["title"].startswith(title))


def fields(told: dict[str, Any], title: str) -> dict[str, Any]:
    return {row["field"]: row["value"] for row in table(told, title)}


def test_the_interval_of_a_break_even_is_recomputed_from_what_is_printed(demo_folder) -> None:
    asked = ["explain", "verdict", "support-chat", "--project", str(demo_folder), "--format", "json"]
    told = json.loads(CliRunner().invoke(group, asked).output)
    drawn, gpu = table(told, "The days that are drawn again"), table(told, "GPU money and hours by day")
    interval, deployment = fields(told, "How sure"), fields(told, "The deployment as declared")
    fixed = next(
        Fraction(row["value"]) for rows in told["figures"] for row in rows["rows"] if row["field"] == "fixed_cost_rc"
    )
    said = next(line for line in told["formula"] if line.startswith("how sure:"))
    resamples, days, block, seed = map(
        int, re.match(r"how sure: (\d+) resamples of (\d+) days in blocks of (\d+): .*Random\((\d+)\)", said).groups()
    )
    dates = sorted({row["usage_date"] for row in drawn})
    assert len(dates) == days == interval["days_count"]
    of_day: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for row in drawn:
        for name in ("demand_tokens", "billed_tokens", "billed_cost_rc"):
            of_day[row["usage_date"], row["token_class"], name] += Fraction(row[name] or 0)
    for row in gpu:
        for name in ("realized_cost_rc", "gpu_milliseconds"):
            of_day[row["usage_date"], "gpu", name] += Fraction(row[name])
    rates = {name: Fraction(deployment[f"{name}_tokens_per_second"]) for name in ("prefill", "cached", "decode")}
    classes = sorted({row["token_class"] for row in drawn})
    rate_of = dict.fromkeys(classes, rates["prefill"]) | {
        "output": rates["decode"],
        "input_cache_read": rates["cached"],
    }
    of, found = Random(seed), []
    for _ in range(resamples):
        picked: list[str] = []
        while len(picked) < days:
            size = min(block, days - len(picked))
            start = int(of.random() * (days - size + 1))
            picked += dates[start : start + size]

        def total(name: str, what: str, picked: list[str] = picked) -> Fraction:
            return sum((of_day[day, name, what] for day in picked), Fraction(0))

        demand = {name: total(name, "demand_tokens") for name in classes}
        api = sum(total(c, "billed_cost_rc") / total(c, "billed_tokens") * demand[c] for c in classes if demand[c])
        tokens, work = sum(demand.values()), sum(demand[name] / rate_of[name] for name in classes)
        rate = total("gpu", "realized_cost_rc") * 3_600_000 / total("gpu", "gpu_milliseconds")
        rent = rate * int(deployment["gpus_per_replica"]) * 24 * days
        capacity = Fraction(deployment["peak_allowance"]) * 3600 * tokens / work * 24 * days
        margin = api / tokens * capacity - rent
        volume = math.inf
        if margin > 0:
            volume = float((fixed + max(1, math.ceil(fixed / margin)) * rent) * tokens / api / days)
        found.append(volume)
    found.sort()
    for share in (5, 50, 95):
        printed = float(interval[f"breakeven_p{share:02}_tokens_per_day"])
        assert math.isclose(printed, found[math.ceil(resamples * share / 100) - 1], rel_tol=1e-9)
