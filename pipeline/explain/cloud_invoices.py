"""`explain invoice` of a cloud bill: an export's rows that name it, however many, added up from their own spelling."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction

from pipeline.explain.evidence import Evidence, Record
from pipeline.explain.explanation import Equality, Explanation, Rows, dollars, exact_text
from pipeline.explain.landed import stated_amount, traced_rows

# An invoice may have millions of rows: all are added up, these are shown.
_MOST_ROWS = 200


def explain_cloud_invoice(
    evidence: Evidence, invoice_id: str, *, said: Sequence[Record], charges: Sequence[Record]
) -> Explanation:
    """`said`: the invoice as reconciled; `charges`: what the cloud bills of record charge on it."""
    accounts = evidence.keep("chosen_invoice_accounts", "invoice_accounts", invoice_id=invoice_id)
    evidence.trace_model(
        "int_cloud_charges_daily",
        {row["usage_date"] for row in charges},
        sources={row["source"] for row in accounts},
    )
    sums = evidence.ask("invoice_cloud_sums", invoice_id=invoice_id)
    rows = evidence.ask("invoice_cloud_rows", invoice_id=invoice_id, most=_MOST_ROWS)
    row_count = sum(row["row_count"] for row in sums)
    return Explanation(
        title=f"Invoice {invoice_id}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=(
            "lines_cost = the billed amounts of all rows of the export that name this invoice.",
            "The export states no total of an invoice: only the document that the issuer sent does.",
        ),
        figures=(Rows.of("fct_reconciliation_invoice", said),),
        inputs=(Rows.of("By service and kind of charge", _by_service(charges)),),
        objects=(
            Rows.of("Objects", [_object(evidence, number, sums) for number in _objects(sums)]),
            traced_rows(
                evidence,
                f"The largest {len(rows)} of {row_count} rows that name it",
                rows,
                ("usage_date", "service", "charge_category", "amount", "billing_currency"),
            ),
        ),
        equalities=tuple(_equalities(said, charges, sums)),
        outside_check=tuple(_outside(invoice_id, charges, sums)),
    )


def _objects(sums: Sequence[Record]) -> list[int]:
    return sorted({row["object_number"] for row in sums})


def _object(evidence: Evidence, number: int, sums: Sequence[Record]) -> Record:
    used = sum(row["row_count"] for row in sums if row["object_number"] == number)
    return {**evidence.object_record(number), "rows_used": used}


def _by_service(charges: Sequence[Record]) -> list[Record]:
    names = ("account", "service", "charge_category", "billing_currency")
    groups: dict[tuple[str | None, ...], list[Record]] = defaultdict(list)
    for row in charges:
        groups[tuple(row[name] for name in names)].append(row)
    return [
        {
            **dict(zip(names, key, strict=True)),
            "rows": sum(row["line_count"] for row in held),
            "billed_cost": sum((Fraction(row["billed_cost"]) for row in held), Fraction(0)),
        }
        for key, held in sorted(groups.items(), key=str)
    ]


def _landed(sums: Sequence[Record]) -> dict[tuple[str, str], Fraction]:
    """(account, currency) -> what its landed rows come to."""
    landed: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for row in sums:
        landed[row["account"], row["billing_currency"]] += stated_amount(row)
    return landed


def _equalities(said: Sequence[Record], charges: Sequence[Record], sums: Sequence[Record]) -> Iterable[Equality]:
    told: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for row in charges:
        told[row["account"], row["billing_currency"]] += Fraction(row["billed_cost"])
    landed = _landed(sums)
    for account, currency in sorted({*told, *landed}):
        yield Equality(
            f"{account}: landed rows that name the invoice = its charges in {currency}",
            landed[account, currency],
            told[account, currency],
        )
    reconciled = [row for row in said if row["lines_cost"] is not None]
    yield Equality(
        "landed rows = lines_cost, of invoices in one currency",
        sum(
            (landed[account, currency] for account, currency in landed if _is_reconciled(reconciled, account)),
            Fraction(0),
        ),
        sum((Fraction(row["lines_cost"]) for row in reconciled), Fraction(0)),
    )
    yield Equality(
        "landed rows that name the invoice, counted = the rows behind its charges",
        sum(row["row_count"] for row in sums),
        sum(row["line_count"] for row in charges),
    )


def _is_reconciled(reconciled: Sequence[Record], account: str) -> bool:
    return any(row["account"] == account for row in reconciled)


def _outside(invoice_id: str, charges: Sequence[Record], sums: Sequence[Record]) -> Iterable[str]:
    issuers = ", ".join(sorted({row["invoice_issuer"] or "its issuer" for row in charges}))
    for (account, currency), amount in sorted(_landed(sums).items()):
        yield (
            f"The invoice {invoice_id} that {issuers} sent for {account}: its total in {currency} should be "
            f"{dollars(amount, currency)} (exactly {exact_text(amount)}); the residual is what only the document knows."
        )
