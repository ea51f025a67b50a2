"""Published claims about the cost of tokens, recomputed; and the page that lists them all.

    python -m tests.economics.claims [seed_cases.csv] > claims.html

Each formula goes through the function that the product itself uses for it, wherever there is one; what remains is
arithmetic (a sum, a difference, a ratio) and says so. The claims are other people's and stay where they lie.
"""

import csv
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from html import escape
from itertools import repeat
from pathlib import Path

from pipeline.economics.breakeven import Staircase, breakeven_spend, breakeven_volumes
from pipeline.economics.exact import Exact
from pipeline.economics.payback import OneOff, payback
from pipeline.economics.rent import engineering_cost, gpu_rent
from pipeline.economics.roofline import GpuType, Requests, ServedModel, replica_roofline
from pipeline.economics.units import cost_of_tokens, cost_per_mtok
from pipeline.economics.work import Capacity, Provenance, tokens_per_replica_hour
from pipeline.sources.owned_gpus import monthly_depreciation, power_a_day

ACCEPTANCE = Path(__file__).resolve().parents[2].parent / "shared" / "acceptance"
SEED_CASES = ACCEPTANCE / "seed_cases.csv"
TOLERANCE = Fraction(1, 10**9)
# Rows of these say in words or by themselves what they are: there is nothing to recompute.
WITHOUT_FORMULA = ("none", "identity")
ARITHMETIC = "arithmetic"

_MTOK = 10**6
_QUANTA = 10**18
_READ_ON = date(2025, 11, 1)

Inputs = Mapping[str, Decimal]
Compute = Callable[[Inputs], Exact | None]


@dataclass(frozen=True)
class Recomputed:
    """A claim with its formula's own value and by what it was computed; both None where nothing is to be recomputed."""

    row: Mapping[str, str]
    value: Fraction | None
    by: str | None

    @property
    def expected(self) -> Fraction:
        return Fraction(self.row["recomputed_value"])

    @property
    def agrees(self) -> bool:
        return self.value is not None and abs(self.value - self.expected) <= TOLERANCE * abs(self.expected)


def claims(path: Path = SEED_CASES) -> list[dict[str, str]]:
    """Every row of the file; none where it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def recomputed(row: Mapping[str, str]) -> Recomputed:
    """The claim's formula over its inputs. KeyError for a formula, or inputs of one, that nobody knows here."""
    if row["formula"] in WITHOUT_FORMULA:
        return Recomputed(row, None, None)
    inputs: Inputs = json.loads(row["inputs"], parse_float=Decimal, parse_int=Decimal)
    by, compute = _way(row["formula"], frozenset(inputs))
    value = compute(inputs)
    return Recomputed(row, None if value is None else Fraction(value), by)


def _tokens_an_hour(per_second: Decimal, utilization: Decimal = Decimal(1)) -> Decimal:
    provenance = Provenance(kind="declared", stated_on=_READ_ON, source="published claim")
    capacity = Capacity(
        blended_tokens_per_second=per_second, maximum_utilization_ratio=utilization, provenance=provenance
    )
    return tokens_per_replica_hour(mix={"all": 1}, capacity=capacity)


def _break_even_of_a_fixed_bill(inputs: Inputs) -> Decimal | None:
    """A bill that no volume changes: no rent a replica, so no steps."""
    staircase = Staircase(
        price_per_token=inputs["api"],
        variable_cost_per_token=inputs.get("self_variable", Decimal(0)),
        capacity_tokens=1,
        replica_cost=0,
        fixed_cost=inputs["fixed"],
    )
    return breakeven_volumes(staircase).first


def _staircase_cost(inputs: Inputs) -> Decimal:
    return Staircase(
        price_per_token=0,
        capacity_tokens=inputs["capacity_mtok"],
        replica_cost=inputs["replica_usd"],
        fixed_cost=inputs["fixed_usd"],
    ).self_host_cost(inputs["mtok"])


def _full_replica_value(inputs: Inputs) -> Decimal:
    """What a full replica saves when it costs nothing is what it displaces."""
    staircase = Staircase(
        price_per_token=inputs["api"], capacity_tokens=inputs["capacity_mtok"], replica_cost=0, fixed_cost=1
    )
    return breakeven_volumes(staircase).full_replica_margin


def _breakeven_utilization_percent(inputs: Inputs) -> Decimal | None:
    staircase = Staircase(
        price_per_token=inputs["api_usd_per_request"],
        capacity_tokens=_tokens_an_hour(inputs["rps"]) * inputs["hours"],
        replica_cost=inputs["usd_per_month"],
        fixed_cost=0,
    )
    ratio = breakeven_volumes(staircase).breakeven_utilization
    return None if ratio is None else ratio * 100


def _requests(inputs: Inputs) -> Decimal:
    return _tokens_an_hour(inputs["rps"], inputs["utilization"]) * inputs["hours"]


def _cost_per_request(inputs: Inputs) -> Decimal | None:
    per_million = cost_per_mtok(cost=inputs["usd_per_month"], tokens=int(_requests(inputs)))
    return None if per_million is None else per_million / _MTOK


def _gpu(inputs: Inputs) -> GpuType:
    return GpuType(
        gpu_type="published claim",
        bf16_teraflops=inputs.get("tflops", Decimal(1)),
        memory_terabytes_per_second=inputs.get("tb_s", Decimal(1)),
        memory_gigabytes=80,
        source="published claim",
        read_on=_READ_ON,
    )


def _model(inputs: Inputs) -> ServedModel:
    size = inputs.get("active_params_b", inputs.get("params_b", Decimal(0))) * 10**9
    bytes_per_parameter = inputs.get("bytes_per_param", inputs.get("bits", Decimal(16)) / 8)
    return ServedModel(active_parameters=size, total_parameters=size, bytes_per_parameter=bytes_per_parameter)


def _roofline(inputs: Inputs) -> Fraction | None:
    gpus, mix = int(inputs["gpus"]), {"output": 1}
    return replica_roofline(gpu=_gpu(inputs), gpus_per_replica=gpus, model=_model(inputs), mix=mix).compute


def _single_stream(inputs: Inputs) -> Fraction | None:
    """One request alone reads the active weights for every token."""
    return replica_roofline(
        gpu=_gpu(inputs), gpus_per_replica=1, model=_model(inputs), mix={"output": 1}, requests=Requests(at_once=1)
    ).bandwidth


def _rent(rate: str) -> Compute:
    return lambda inputs: gpu_rent(
        gpu_hour_rate=inputs[rate], gpus=inputs.get("gpus", Decimal(1)), hours=inputs.get("hours", Decimal(1))
    )


def _bill_of_a_volume(price: str) -> Compute:
    """A volume in millions of tokens at one price for all of them."""
    return lambda inputs: cost_of_tokens(
        tokens_by_class={"all": round(inputs["mtok"] * _MTOK)}, price_per_mtok_by_class={"all": inputs[price]}
    )


def _bill_of_a_request(inputs: Inputs) -> Fraction:
    sides = ("input", "output")
    return cost_of_tokens(
        tokens_by_class={side: int(inputs[f"{side}_tokens"]) for side in sides},
        price_per_mtok_by_class={side: inputs[f"{side}_price"] for side in sides},
    )


def _blend(inputs: Inputs) -> Decimal | None:
    share = int(inputs["input_share"] * _MTOK)
    cost = cost_of_tokens(
        tokens_by_class={"input": share, "output": _MTOK - share},
        price_per_mtok_by_class={"input": inputs["input"], "output": inputs["output"]},
    )
    return cost_per_mtok(cost=cost, tokens=_MTOK)


def _friction(inputs: Inputs) -> Decimal:
    return breakeven_spend(
        self_host_cost=inputs["self"], friction=inputs["friction"], self_tokens_per_api_token=1, movable_share=1
    )


def _depreciation(inputs: Inputs) -> Fraction:
    first, *_ = monthly_depreciation(depreciable_units=int(inputs["capex"] * _QUANTA), months=int(inputs["months"]))
    return Fraction(first, _QUANTA)


def _energy(inputs: Inputs) -> Fraction:
    _, a_day = power_a_day((inputs["kw"] * 1000, inputs["usd_per_kwh"], Decimal(1)))
    return Fraction(a_day) * Fraction(inputs["hours"]) / 24


def _payback(inputs: Inputs) -> Decimal | None:
    """The same saving every month, for as long as it takes."""
    one_offs = [OneOff(item="hardware", amount=inputs["one_off"])]
    return payback(monthly_savings=repeat(inputs["monthly_saving"]), one_offs=one_offs).months


def _labor(inputs: Inputs) -> Fraction:
    rate = Fraction(inputs["annual_usd"]) / Fraction(inputs["hours_per_year"])
    return engineering_cost(hours=inputs["hours"], hour_rate=rate)


def _product(inputs: Inputs) -> Fraction:
    return math.prod(map(Fraction, inputs.values()), start=Fraction(1))


def _zero_of_a_line(inputs: Inputs) -> Fraction:
    """Where the line through (x0, d0) and (x1, d1) is 0."""
    x0, x1, d0, d1 = (Fraction(inputs[name]) for name in ("x0", "x1", "d0", "d1"))
    return x0 + (x1 - x0) * -d0 / (d1 - d0)


def _over(part: str, whole: str, scale: int = 1) -> Compute:
    return lambda inputs: scale * Fraction(inputs[part]) / Fraction(inputs[whole])


# Formula -> by which function, and how it is called.
FORMULAS: Mapping[str, tuple[str, Compute]] = {
    "usd_per_mtok": (
        "units.cost_per_mtok",
        lambda inputs: cost_per_mtok(
            cost=inputs["usd_per_hour"], tokens=int(_tokens_an_hour(inputs["tokens_per_second"]))
        ),
    ),
    "mtok_per_month": (
        "work.tokens_per_replica_hour",
        lambda inputs: _tokens_an_hour(inputs["tokens_per_second"]) * inputs["hours"] / _MTOK,
    ),
    "requests_at_utilization": ("work.tokens_per_replica_hour", _requests),
    "usd_per_request_at_utilization": ("units.cost_per_mtok", _cost_per_request),
    "request_usd": ("units.cost_of_tokens", _bill_of_a_request),
    "blend": ("units.cost_of_tokens", _blend),
    "breakeven_fixed_mtok": ("breakeven.breakeven_volumes", _break_even_of_a_fixed_bill),
    "breakeven_margin_mtok": ("breakeven.breakeven_volumes", _break_even_of_a_fixed_bill),
    "breakeven_utilization_pct": ("breakeven.breakeven_volumes", _breakeven_utilization_percent),
    "full_replica_api_value_usd": ("breakeven.breakeven_volumes", _full_replica_value),
    "staircase_usd": ("breakeven.Staircase.self_host_cost", _staircase_cost),
    "roofline_tok_s": ("roofline.replica_roofline", _roofline),
    "bandwidth_tok_s": ("roofline.replica_roofline", _single_stream),
    "weights_gb": ("roofline.ServedModel.weight_gigabytes", lambda inputs: _model(inputs).weight_gigabytes),
    "monthly_from_hourly": ("rent.gpu_rent", _rent("usd_per_hour")),
    "labor_usd": ("rent.engineering_cost", _labor),
    "amortized_monthly": ("owned_gpus.monthly_depreciation", _depreciation),
    "energy_usd": ("owned_gpus.power_a_day", _energy),
    "payback_months": ("payback.payback", _payback),
    "linear_crossing_mtok": (ARITHMETIC, _zero_of_a_line),
    "sum": (ARITHMETIC, lambda inputs: sum(map(Fraction, inputs.values()), Fraction(0))),
    "difference": (ARITHMETIC, lambda inputs: Fraction(inputs["a"]) - Fraction(inputs["b"])),
    "ratio": (ARITHMETIC, _over("a", "b")),
    "share_pct": (ARITHMETIC, _over("part", "whole", 100)),
}
# Of the products, those whose inputs say that they are something the product computes.
PRODUCTS: Mapping[frozenset[str], tuple[str, Compute]] = {
    frozenset({"friction", "self"}): ("breakeven.breakeven_spend", _friction),
    frozenset({"mtok", "usd"}): ("units.cost_of_tokens", _bill_of_a_volume("usd")),
    frozenset({"mtok", "blend"}): ("units.cost_of_tokens", _bill_of_a_volume("blend")),
    frozenset({"gpus", "usd_per_gpu_hour"}): ("rent.gpu_rent", _rent("usd_per_gpu_hour")),
    frozenset({"gpus", "usd_per_hour"}): ("rent.gpu_rent", _rent("usd_per_hour")),
    frozenset({"gpus", "usd_per_hour", "hours"}): ("rent.gpu_rent", _rent("usd_per_hour")),
}


def _way(formula: str, names: frozenset[str]) -> tuple[str, Compute]:
    if formula == "product":
        return PRODUCTS.get(names, (ARITHMETIC, _product))
    return FORMULAS[formula]


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Published claims, recomputed</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }}
.table {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; font-weight: 600; padding: .5rem 0; }}
th, td {{ padding: .35rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid #8886; }}
td.number {{ text-align: right; white-space: nowrap; }} .quiet {{ opacity: .75; font-size: .85em; }}
.wrong td:nth-child(6) {{ font-weight: 650; }}
</style></head><body>
<h1>Published claims, recomputed</h1>
<p>{says}</p>
<div class="table" role="region" aria-label="All claims" tabindex="0"><table><caption>All claims</caption>
<thead><tr><th scope="col">Claim</th><th scope="col">Inputs</th><th scope="col">Printed</th>
<th scope="col">Recomputed</th>
<th scope="col">Unit</th><th scope="col">Verdict</th><th scope="col">Recomputed by</th></tr></thead>
<tbody>
{rows}
</tbody></table></div>
</body></html>
"""


def page(rows: Sequence[Mapping[str, str]]) -> str:
    """All claims as one HTML page that fetches nothing: what was printed, what comes out, by what it was computed."""
    found = [recomputed(row) for row in rows]
    verdicts = Counter(row["verdict"] for row in rows)
    with_formula = [claim for claim in found if claim.by is not None]
    own = sum(claim.by != ARITHMETIC for claim in with_formula)
    listed = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    says = (
        f"{len(rows)} claims: {listed}. Of {len(with_formula)} with a formula {own} went through the product's own "
        f"functions, the rest through plain arithmetic; "
        f"{sum(claim.agrees for claim in with_formula)} agree with the recomputed value to 1e-9."
    )
    return _PAGE.format(says=escape(says), rows="\n".join(_html_row(claim) for claim in found))


def _html_row(claim: Recomputed) -> str:
    row = claim.row
    inputs = ", ".join(f"{name} {value}" for name, value in json.loads(row["inputs"]).items())
    value = row["recomputed_value"] if claim.value is None else f"{float(claim.value):,.12g}"
    differs = "" if claim.by is None or claim.agrees else " (differs from the file)"
    kind = f", {row['kind']}" if row["kind"] else ""
    cells = (
        ("", f"{escape(row['case_id'])}<br><span class='quiet'>{escape(row['note'])}</span>"),
        ("", escape(inputs.replace("_", " "))),
        ("number", escape(row["printed_value"])),
        ("number", escape(f"{value}{differs}") or "unknown"),
        ("", escape(row["unit"])),
        ("", escape(f"{row['verdict']}{kind.replace('_', ' ')}")),
        ("", escape(claim.by or "nothing to recompute")),
    )
    body = "".join(f"<td class='{style}'>{cell}</td>" if style else f"<td>{cell}</td>" for style, cell in cells)
    return f"<tr class='{escape(row['verdict'])}'>{body}</tr>"


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else SEED_CASES
    read = claims(given)
    if not read:
        raise SystemExit(f"No published claims in {given}: pass the path of seed_cases.csv.")
    sys.stdout.write(page(read))
