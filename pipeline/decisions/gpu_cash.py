"""What of each line of a day's GPU bill could come back as cash: `pipeline.economics.cash_recoverable`, by resource.

A line's money is on resources. What is committed on the day, or owned (an `effective` cost), gives nothing back. The
parts of a pool are on each of its resources alike, in the proportions of what each of them costs while it is ready.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from pipeline.decisions.window import Row, Rows
from pipeline.economics.cash_recoverable import UNALLOCATED, HeldPart, cash_recoverable, share_given_back

Resource = tuple[str, str | None]
_EXACT = Context(prec=60)
# What is billed beside GPUs has no GPU that could be committed.
_NO_GPUS = frozenset({"tax", "credit", "overhead", "per_use"})


@dataclass(frozen=True)
class Bill:
    """A line of a day's bill: `whole` has its columns; `parts` what of it each resource costs, in quanta, and `times`
    how long that was, in GPU-milliseconds.
    """

    whole: Row
    parts: Mapping[Resource, int | None]
    times: Mapping[Resource, int]


def bills_of(rows: Rows) -> list[Bill]:
    """Rows by resource as lines: times and amounts add up; an amount of which a part has no price has none."""
    lines: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        key = ("issuer", "account", "deployment_id", "line", "cost_measure", "billing_currency")
        lines[tuple(row[column] for column in key)].append(row)
    return [_bill(of_line) for of_line in lines.values()]


def _bill(rows: Rows) -> Bill:
    whole = {name: value for name, value in rows[0].items() if name != "resource_id"}
    times = {
        (row["issuer"], row["resource_id"]): row["gpu_milliseconds"]
        for row in rows
        if row["gpu_milliseconds"] is not None
    }
    whole["gpu_milliseconds"] = sum(times.values()) if times else None
    for column in ("realized_cost", "realized_cost_rc"):
        whole[column] = _sum([row[column] for row in rows])
    parts = {(row["issuer"], row["resource_id"]): quanta(row["realized_cost"]) for row in rows}
    return Bill(whole, parts, times)


def _sum(amounts: Sequence[Decimal | None]) -> Decimal | None:
    total = Decimal(0)
    for amount in amounts:
        if amount is None:
            return None
        total = _EXACT.add(total, amount)
    return total


def quanta(amount: Decimal | None) -> int | None:
    """In units of 10^-18 of a currency."""
    return None if amount is None else int(amount.scaleb(18, _EXACT))


def money(amount: int) -> Decimal:
    """The amount of so many quanta, exactly."""
    return Decimal(amount).scaleb(-18, _EXACT)


READ_TIMES = """
    select usage_date, issuer, resource_id, gpu_count, committed_until_date
    from int_gpu_resource_time_daily"""
# A run has a row a measure.
READ_FREE = """
    select
        usage_date, issuer, resource_id,
        cast(sum(gpu_milliseconds - of_which_loaded_milliseconds) as bigint) as free_milliseconds,
        cast(sum(of_which_unallocated_resource_milliseconds) as bigint) as whole_milliseconds
    from (
        select distinct
            usage_date, host, gpu_uuid, from_at, issuer, resource_id, gpu_milliseconds, of_which_loaded_milliseconds,
            of_which_unallocated_resource_milliseconds
        from fct_idle_runs_daily
        where resource_id is not null
    )
    group by usage_date, issuer, resource_id"""


class Resources:
    """The resources of one day: how many GPUs are billed as one, until when they are committed, and how long all of
    them were held by nobody together.

    `times`: rows of READ_TIMES; `free`: of READ_FREE.
    """

    def __init__(self, times: Rows, free: Rows, bills: Iterable[Bill]) -> None:
        self._times = {(row["issuer"], row["resource_id"]): row for row in times}
        self._free = {(row["issuer"], row["resource_id"]): row for row in free}
        self._held: dict[str | None, set[Resource]] = defaultdict(set)
        self._unallocated: dict[Resource, int] = defaultdict(int)
        for bill in bills:
            if bill.whole["line"] == "ready":
                self._held[bill.whole["deployment_id"]] |= bill.parts.keys()
            elif bill.whole["line"] == UNALLOCATED:
                for resource, milliseconds in bill.times.items():
                    self._unallocated[resource] += milliseconds

    def largest(self, deployment: str | None) -> int | None:
        """GPUs of the largest of the resources that a deployment holds; None where nobody says it of one of them."""
        counts = [self._times.get(held, {}).get("gpu_count") for held in self._held[deployment]]
        return None if None in counts else max((count or 0 for count in counts), default=None)

    def figures(self, bill: Bill, line: Mapping[str, Any], whole_share: Fraction | None) -> dict[str, Any]:
        """Columns of a line of a bill. `whole_share`: of a pool's part, the share of its time that whole units are."""
        until = [] if line["line"] in _NO_GPUS else [self._committed_until(one) for one in bill.parts]
        cost = quanta(line["realized_cost"])
        cash = self._cash(bill, line, cost, whole_share)
        return {
            "cash_recoverable_cost": None if cash is None else money(cash),
            "cash_recoverable_cost_rc": _converted(cash, cost, quanta(line["realized_cost_rc"])),
            "committed_until_date": max((one for one in until if one is not None), default=None),
        }

    def _cash(self, bill: Bill, line: Mapping[str, Any], cost: int | None, whole_share: Fraction | None) -> int | None:
        is_owned = line["cost_measure"] == "effective"
        if is_owned or (cost is not None and cost <= 0) or share_given_back(line["line"], whole_share) == 0:
            return 0
        total = quanta(bill.whole["realized_cost"])
        held = [
            HeldPart(
                cost=None if part is None or cost is None or not total else Fraction(part * cost, total),
                share=share_given_back(line["line"], self._share(one, line["line"], whole_share)),
                is_bound=self._committed_until(one) is not None,
            )
            for one, part in bill.parts.items()
        ]
        return cash_recoverable(held)

    def _committed_until(self, resource: Resource) -> date | None:
        found: date | None = self._times.get(resource, {}).get("committed_until_date")
        return found

    def _share(self, resource: Resource, line: str, whole_share: Fraction | None) -> Fraction | None:
        if line != UNALLOCATED:
            return whole_share
        if self._times.get(resource, {}).get("gpu_count") is None:
            return None
        free = self._free.get(resource)
        if free is None or not free["whole_milliseconds"]:
            return Fraction(0)
        # Where more was watched than is billed, all that was watched shares what is billed.
        return Fraction(free["whole_milliseconds"], max(free["free_milliseconds"], self._unallocated[resource]))


def _converted(cash: int | None, cost: int | None, cost_rc: int | None) -> Decimal | None:
    """Cash in the reporting currency: as much of what the line costs there."""
    if not cash:
        return None if cash is None else money(0)
    return None if cost_rc is None or not cost else money(cost_rc * cash // cost)
