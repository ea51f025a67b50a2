"""`explain invoice`: an invoice's lines, where their money went day by day and by state, and what does not add up."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction

from pipeline.explain.cloud_invoices import explain_cloud_invoice
from pipeline.explain.evidence import Evidence, NothingToExplainError, Record
from pipeline.explain.explanation import Equality, Explanation, Rows, from_quanta, quanta
from pipeline.explain.gpu_charges import booked_days
from pipeline.explain.landed import object_rows, traced_rows

_MS_PER_HOUR = 3_600_000


def explain_invoice(evidence: Evidence, invoice_id: str) -> Explanation:
    """One invoice as reconciled: control total, lines, days, states, residual."""
    said = evidence.ask("invoice", invoice_id=invoice_id)
    if not said:
        raise _nothing(evidence, invoice_id)
    cloud = evidence.ask("invoice_cloud_charges", invoice_id=invoice_id)
    if cloud:
        return explain_cloud_invoice(evidence, invoice_id, said=said, charges=cloud)
    evidence.trace("landed_gpu_bills__lines")
    evidence.trace("landed_gpu_bills__totals")
    accounts = {row["account"] for row in said}
    lines = [row for row in evidence.ask("gpu_invoice_lines", invoices=[invoice_id]) if row["account"] in accounts]
    totals = [row for row in evidence.ask("invoice_totals", invoice_id=invoice_id) if row["account"] in accounts]
    charges = evidence.ask("invoice_charges", invoice_id=invoice_id)
    states = evidence.ask("invoice_states", invoice_id=invoice_id)
    others = evidence.ask("invoice_neighbours", invoice_id=invoice_id)[0]["realized_cost"]
    return Explanation(
        title=f"Invoice {invoice_id}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=(
            "residual = the total the invoice states - the sum of its lines; shown, never spread.",
            "A line goes to the UTC days of its period: amount x milliseconds of the day / of the period, in units of "
            "10^-18, leftover units to the largest remainders. Days that are still to come are not booked yet.",
            "A resource-day goes to its states by GPU-milliseconds: see breakeven explain waste --resource R --date D.",
        ),
        figures=(Rows.of("fct_reconciliation_invoice", said),),
        inputs=(
            Rows.of("Lines and the days they are booked to", [_booked(line, charges) for line in lines]),
            Rows.of(
                "Where the money of these resource-days stands",
                [
                    {
                        **{name: row[name] for name in ("resource_id", "deployment_id", "state")},
                        "days": row["days_count"],
                        "gpu_hours": None
                        if row["gpu_milliseconds"] is None
                        else Fraction(int(row["gpu_milliseconds"]), _MS_PER_HOUR),
                        "realized_cost": row["realized_cost"],
                        "currency": row["billing_currency"],
                    }
                    for row in states
                ],
            ),
        ),
        objects=(
            object_rows(evidence, "Objects", [*lines, *totals]),
            traced_rows(evidence, "Lines as they stand in the file", lines, ("line_number", "charge_kind", "amount")),
            traced_rows(evidence, "Totals as they stand in the file", totals, ("total_amount", "currency")),
        ),
        equalities=tuple(_equalities(said, lines, totals, charges, states, others)),
        outside_check=tuple(_outside(invoice_id, said, lines)),
    )


def _booked(line: Record, charges: Sequence[Record]) -> Record:
    held = [row for row in charges if (row["account"], row["line_number"]) == (line["account"], line["line_number"])]
    days = booked_days(line)
    first = next(iter(days.values()))
    return {
        "account": line["account"],
        "line_number": line["line_number"],
        "charge_kind": line["charge_kind"],
        "resource_id": line["resource_id"],
        "amount": Decimal(line["amount"]),
        "currency": line["currency"],
        "period_start": line["period_start"],
        "period_end": line["period_end"],
        "days_of_period": len(days),
        "days_booked": len(held),
        "first_day": f"{line['amount']} x {first.day_milliseconds:,} / {first.period_milliseconds:,} ms = "
        f"{from_quanta(first.quanta)}",
        "booked_cost": from_quanta(sum(quanta(row["realized_cost"]) for row in held)),
    }


def _equalities(
    said: Sequence[Record],
    lines: Sequence[Record],
    totals: Sequence[Record],
    charges: Sequence[Record],
    states: Sequence[Record],
    others: Decimal | None,
) -> Iterable[Equality]:
    amounts = [Decimal(row["amount"]) for row in lines]
    yield Equality(
        f"the {len(lines)} landed lines = lines_cost",
        sum(amounts, Decimal(0)),
        sum((row["lines_cost"] for row in said if row["lines_cost"] is not None), Decimal(0)),
    )
    if totals:
        stated = sum((Decimal(row["total_amount"]) for row in totals), Decimal(0))
        residual = sum((row["residual_cost"] for row in said if row["residual_cost"] is not None), Decimal(0))
        yield Equality(
            "lines + residual = the total that the invoice states", sum(amounts, Decimal(0)) + residual, stated
        )
    expected: dict[tuple[str, int], int] = defaultdict(int)
    booked: dict[tuple[str, int], int] = defaultdict(int)
    by_line = {(row["account"], row["line_number"]): booked_days(row) for row in lines}
    for row in charges:
        key = row["account"], row["line_number"]
        booked[key] += quanta(row["realized_cost"])
        expected[key] += by_line[key][row["usage_date"]].quanta
    yield Equality(
        "landed lines, split to the days booked so far = the charges of these days",
        from_quanta(sum(expected.values())),
        from_quanta(sum(booked.values())),
    )
    whole = sum(quanta(Decimal(row["amount"])) for row in lines)
    still = sum(
        day.quanta
        for key, days in by_line.items()
        for usage_date, day in days.items()
        if usage_date not in {row["usage_date"] for row in charges if (row["account"], row["line_number"]) == key}
    )
    yield Equality("booked + still to come = all lines", from_quanta(sum(booked.values()) + still), from_quanta(whole))
    yield Equality(
        "this invoice's charges + other invoices' on the same resource-days = the money in all states there",
        from_quanta(sum(booked.values()) + quanta(others or Decimal(0))),
        sum((row["realized_cost"] for row in states if row["realized_cost"] is not None), Decimal(0)),
    )


def _outside(invoice_id: str, said: Sequence[Record], lines: Sequence[Record]) -> Iterable[str]:
    for row in said:
        payable = "states no total" if row["payable_cost"] is None else f"payable {row['payable_cost']:.2f}"
        yield (
            f"The invoice {invoice_id} that {row['issuer']} sent, period {row['period_start_date']} to "
            f"{row['period_end_date']} (end excluded): {payable} {row['billing_currency']}, status {row['status']}."
        )
    for line in lines:
        yield (
            f"Its row {line['line_number']}: {line['charge_kind']} {line['resource_id'] or ''} "
            f"{line['quantity'] or ''} {line['unit'] or ''}: {line['amount']} {line['currency']}."
        ).replace("  ", " ")


def _nothing(evidence: Evidence, invoice_id: str) -> NothingToExplainError:
    known = [
        row["invoice_id"] for row in evidence.select("select invoice_id from fct_reconciliation_invoice order by 1")
    ]
    listed = ", ".join(known[-12:]) if known else "none landed yet"
    return NothingToExplainError(f"There is no invoice {invoice_id}. Known: {listed}.")
