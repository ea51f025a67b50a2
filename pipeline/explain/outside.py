"""How to see an API bill's or a meter's number outside of breakeven: by export format, or by the files themselves."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from pipeline.explain.evidence import Evidence, Record
from pipeline.explain.explanation import dollars, exact_text
from pipeline.explain.landed import stated_amount


@dataclass(frozen=True)
class Charged:
    """The lines of one bill behind a figure, on days [from_date, to_date).

    `amount` is in the currency's unit, `stated` in the file's own. `said`: each line in the vendor's words. `kinds`:
    its token classes, or what else it charges. `files`: those the lines stand in.
    """

    source: str
    account: str
    currency: str
    from_date: date
    to_date: date
    amount: Fraction
    stated: Fraction
    said: Sequence[Mapping[str, Any]]
    kinds: Sequence[str]
    files: Sequence[str]

    @property
    def last_date(self) -> date:
        return self.to_date - timedelta(days=1)

    def named(self, field: str, *, nothing: str) -> str:
        """The different values that the lines have in a field of the vendor's."""
        return ", ".join(sorted({str(line.get(field) or nothing) for line in self.said}))


def outside_of_bills(evidence: Evidence, lines: Sequence[Record]) -> Iterable[str]:
    """Where else the sum of traced bill lines can be seen, and what it must be there, per bill and currency.

    `kind` of a line: its token class, or what else it charges.
    """
    bills: dict[tuple[str, str, str], list[Record]] = defaultdict(list)
    for row in lines:
        bills[row["source"], row["account"], row["billing_currency"]].append(row)
    days = {row["usage_date"] for row in lines}
    for (source, account, currency), rows in sorted(bills.items()):
        charged = Charged(
            source=source,
            account=account,
            currency=currency,
            from_date=min(days),
            to_date=max(days) + timedelta(days=1),
            amount=sum(map(stated_amount, rows), Fraction(0)),
            stated=sum((Fraction(row["amount"]) for row in rows), Fraction(0)),
            said=[evidence.place(row["object_number"], row["object_row"]).says for row in rows],
            kinds=sorted({row["kind"] for row in rows}),
            files=_files(evidence, rows),
        )
        yield from _BILLS.get(source, _unknown_bill)(charged)


def outside_of_meters(evidence: Evidence, metered: Sequence[Record]) -> Iterable[str]:
    """Where else traced counts can be seen, and what they must be there, per meter."""
    meters: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for row in metered:
        meters[row["source"], row["account"]].append(row)
    for (source, account), rows in sorted(meters.items()):
        counts: dict[str, int] = defaultdict(int)
        for row in rows:
            counts[row["token_class"] or row["charge_kind"]] += row["metered_count"]
        place = _METERS.get(source, f"{source}, {account}, {', '.join(_files(evidence, rows))}")
        listed = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
        yield f"{place}, same days and filters: expect {listed}."


def outside_of_controls(evidence: Evidence, *, model: str | None) -> Iterable[str]:
    """What the project's own controls state beside the book for the same accounts and days."""
    for row in evidence.ask("api_controls", model=model):
        currency = row["billing_currency"]
        apart = Fraction(row["difference_cost"])
        more = "more" if apart > 0 else "less"
        yield (
            f"{row['control_source']} of {row['control_account']}, a control ({row['control_measure']}, never summed), "
            f"{model or 'all'} of {row['account']} on the {row['days_count']} of these days that both state whole: "
            f"{dollars(Fraction(row['control_cost']), currency)} beside the book's "
            f"{dollars(Fraction(row['book_cost']), currency)}, "
            f"{f'{dollars(abs(apart), currency)} {more}' if apart else 'no difference'}."
        )


def _files(evidence: Evidence, rows: Sequence[Record]) -> list[str]:
    return sorted({evidence.source(row["object_number"]).landed.name for row in rows})


def _unknown_bill(charged: Charged) -> Iterable[str]:
    yield (
        f"{charged.source}, {charged.account}: {len(charged.said)} lines of {', '.join(charged.files)}, days "
        f"{charged.from_date} to {charged.last_date} (both included, UTC), {', '.join(charged.kinds)}: expect "
        f"{dollars(charged.amount, charged.currency)}; their amounts sum to "
        f"{exact_text(charged.stated)}. The issuer's own page for these days and filters shows the same."
    )


def _console(charged: Charged, *, workspace: str) -> str:
    return (
        f"Claude Console, {charged.account}, Cost: {charged.from_date} to {charged.last_date} (both included, UTC), "
        f"workspace {charged.named(workspace, nothing='Default')}, model {charged.named('model', nothing='(none)')}, "
        f"token type {', '.join(charged.kinds)}: expect {dollars(charged.amount, charged.currency)}."
    )


def _anthropic_cost_api(charged: Charged) -> Iterable[str]:
    yield _console(charged, workspace="workspace_id")
    yield (
        f"Or the API, {charged.account}: curl -G https://api.anthropic.com/v1/organizations/cost_report "
        f"-d starting_at={charged.from_date}T00:00:00Z -d ending_at={charged.to_date}T00:00:00Z "
        "-d 'group_by[]=workspace_id' -d 'group_by[]=description' -d bucket_width=1d -d limit=31 "
        "-H 'anthropic-version: 2023-06-01' -H \"x-api-key: $ANTHROPIC_ADMIN_KEY\": the amounts of "
        f"{charged.named('model', nothing='(none)')} in {charged.named('workspace_id', nothing='Default')}, "
        f"{', '.join(charged.kinds)}, sum to {exact_text(charged.stated)} cents (follow next_page)."
    )


def _anthropic_console_csv(charged: Charged) -> Iterable[str]:
    yield _console(charged, workspace="workspace")
    yield f"Or export that range as CSV: cost_usd of the same rows sums to {exact_text(charged.stated)}."


_BILLS: Mapping[str, Callable[[Charged], Iterable[str]]] = {
    "anthropic_cost_api": _anthropic_cost_api,
    "anthropic_console_csv": _anthropic_console_csv,
}
_METERS: Mapping[str, str] = {"anthropic_usage_api": "Claude Console, Usage"}
