"""What a row of the report is made of, as `explain` is asked for it, and whether its figures come back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from pipeline.explain.api_costs import CostFigure, explain_cost
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation, total
from pipeline.explain.gpu_costs import WasteFigure, explain_waste
from pipeline.explain.invoices import explain_invoice
from pipeline.explain.releases import explain_fill, explain_release
from pipeline.explain.verdicts import explain_verdict

Subject = Literal["verdict", "release", "fill", "invoice"]
_MS_PER_HOUR = 3_600_000
_MTOK = 10**6


@dataclass(frozen=True, kw_only=True)
class Named:
    """A verdict of a workload, advice on a deployment, an invoice by its id; of the day where it is of one."""

    subject: Subject
    name: str
    usage_date: date | None = None


Traced = CostFigure | WasteFigure | Named


def explained(evidence: Evidence, traced: Traced) -> Explanation:
    """The explanation of it, as its own command prints it; of a whole lane's GPUs without the samples behind them."""
    if isinstance(traced, CostFigure):
        return explain_cost(evidence, traced)
    if isinstance(traced, WasteFigure):
        return explain_waste(evidence, traced, has_samples=traced.deployment is not None)
    dated: Mapping[str, Callable[[], Explanation]] = {
        "verdict": lambda: explain_verdict(evidence, workload=traced.name, usage_date=traced.usage_date),
        "release": lambda: explain_release(evidence, deployment=traced.name, usage_date=traced.usage_date),
        "fill": lambda: explain_fill(evidence, deployment=traced.name, usage_date=traced.usage_date),
        "invoice": lambda: explain_invoice(evidence, traced.name),
    }
    return dated[traced.subject]()


def sums(evidence: Evidence, traced: Traced) -> dict[str, Decimal | Fraction]:
    """What the rows of the last explanation of it come to: money in the reporting currency by its measure, `list` too;
    `tokens` in millions, `gpu_hours`. What is unknown of a part is left out; nothing of what is no sum of rows.
    """
    if isinstance(traced, CostFigure):
        rows = evidence.select("select * from chosen_costs where attribution != 'metered_only'")
        tokens = [row["tokens"] for row in rows if row["tokens"] is not None]
        found: dict[str, Decimal | Fraction | None] = {
            "billed": total([row["billed_cost_rc"] for row in rows]),
            "list": total([row["list_cost_rc"] for row in rows]),
            "tokens": Fraction(sum(tokens), _MTOK) if tokens else None,
        }
    elif isinstance(traced, WasteFigure):
        rows = evidence.select("select * from chosen_gpu_costs")
        found = {
            measure: total([row["realized_cost_rc"] for row in rows if row["cost_measure"] == measure])
            for measure in sorted(_measures(rows))
        }
        hours = [row["gpu_milliseconds"] for row in rows if row["gpu_milliseconds"] is not None]
        found["gpu_hours"] = Fraction(sum(hours), _MS_PER_HOUR) if hours else None
    else:
        return {}
    return {name: value for name, value in found.items() if value is not None}


def _measures(rows: Iterable[Mapping[str, object]]) -> set[str]:
    return {str(row["cost_measure"]) for row in rows if row["cost_measure"] is not None}
