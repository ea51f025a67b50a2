"""What GPU bills are beyond their GPU-hours at the agreed rate: of rows of the question `billing_residuals`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reports import figures
from pipeline.reports.page import Column, Row, Table

_MOST_SHOWN = 5


def residual_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line a resource and rate, those that are furthest apart: each in the currency of its bill."""
    lines = [_line(row) for row in rows[:_MOST_SHOWN]]
    if len(rows) > _MOST_SHOWN:
        lines.append(f"and {figures.counted(len(rows) - _MOST_SHOWN, 'more')}: fct_billing_residual_daily has all")
    return lines


def _line(row: Mapping[str, Any]) -> str:
    currency = row["billing_currency"]
    billed = f"{figures.visible(row['issuer'])} {figures.visible(row['resource_id'])}: billed "
    billed += figures.priced(row["billed_cost"], currency)
    rate = figures.exact(row["contract_rate_per_gpu_hour"])
    if row["gpu_hours"] is None:
        return f"{billed}; of some of its time nobody knows the GPU-hours, so what they are at {rate} is unknown"
    rated, residual = (figures.priced(row[column], currency) for column in ("rated_cost", "billing_residual_cost"))
    return f"{billed}, {figures.hours(row['gpu_hours'])} GPU-hours at {rate} are {rated}: residual {residual}"


def residual_table(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """None where every bill is its hours at the agreed rate."""
    if not rows:
        return []
    table = Table(
        name="billing_residual",
        caption="Bills beside their GPU-hours at the agreed rate, where they are not the same",
        columns=(
            Column("Issuer"),
            Column("Account"),
            Column("Resource"),
            Column("Currency"),
            Column("GPU-hours", "h", is_number=True),
            Column("Agreed rate", "a GPU-hour", is_number=True, measure="agreed"),
            Column("Billed", "in its currency", is_number=True),
            Column("At the agreed rate", "in its currency", is_number=True, measure="rated"),
            Column("Residual", "in its currency", is_number=True, measure="billed less rated"),
        ),
        rows=tuple(Row(_cells(row)) for row in rows),
        note="A figure beside the lines of the bill, which are all of it: none of them contains it.",
    )
    return [table]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        figures.name(row["issuer"]),
        figures.name(row["account"]),
        figures.name(row["resource_id"]),
        figures.name(row["billing_currency"]),
        figures.hours(row["gpu_hours"]),
        *(
            figures.exact(row[column])
            for column in ("contract_rate_per_gpu_hour", "billed_cost", "rated_cost", "billing_residual_cost")
        ),
    )
