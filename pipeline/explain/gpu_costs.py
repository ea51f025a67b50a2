"""`explain waste`: GPU money and hours by state, from invoice lines, declarations and samples."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from pipeline.explain.evidence import Evidence, NothingToExplainError, Record
from pipeline.explain.explanation import Equality, Explanation, Rows, dollars, from_quanta, quanta, total
from pipeline.explain.gpu_charges import accrued
from pipeline.explain.gpu_money import RESOURCE_DAY, ROW, GpuMoney, gpu_money, key_of
from pipeline.explain.landed import object_rows, traced_rows
from pipeline.explain.near import nearest

_MS_PER_HOUR = 3_600_000
_FILTERS = ("deployment", "resource", "state", "measure", "issuer", "account", "line_kind", "currency")


@dataclass(frozen=True, kw_only=True)
class WasteFigure:
    """Which rows of fct_gpu_costs_daily a figure sums: days [from_date, to_date) and any of the dimensions.

    `line_kind`: overhead, tax, credit, per_use, or gpu for all else.
    """

    from_date: date
    to_date: date
    deployment: str | None = None
    resource: str | None = None
    state: str | None = None
    measure: str | None = None
    issuer: str | None = None
    account: str | None = None
    line_kind: str | None = None
    currency: str | None = None
    is_of_no_deployment: bool = False

    def __str__(self) -> str:
        named = [f"{name.replace('_', ' ')} {value}" for name in _FILTERS if (value := getattr(self, name)) is not None]
        if self.is_of_no_deployment:
            named.append("no deployment")
        return ", ".join([*named, f"{self.from_date} to {self.to_date} UTC (end excluded)"])


def explain_waste(evidence: Evidence, figure: WasteFigure, *, has_samples: bool = True) -> Explanation:
    """The money and the hours of a figure by state, traced to charges and to the samples that prove the states.

    `has_samples=False` leaves the samples out: the money alone.
    """
    chosen = evidence.keep(
        "chosen_gpu_costs",
        "gpu_costs",
        from_date=figure.from_date,
        to_date=figure.to_date,
        is_of_no_deployment=figure.is_of_no_deployment,
        **{name: getattr(figure, name) for name in _FILTERS},
    )
    if not chosen:
        raise _nothing(evidence, figure)
    days = {row["usage_date"] for row in chosen}
    charges = evidence.keep("chosen_gpu_charges", "gpu_charges")
    evidence.trace_model("int_gpu_charges_daily", days, sources={row["source"] for row in charges})
    if has_samples:
        for view in ("landed_nvml_spool__gpu_samples", "landed_prometheus__gpu_samples"):
            evidence.trace(view, days | {day - timedelta(days=1) for day in days})
    states = evidence.ask("gpu_states")
    landed = gpu_money(evidence, chosen, charges, states)
    samples = evidence.ask("gpu_sample_objects") if has_samples else []
    observed = evidence.ask("gpu_observed") if has_samples else []
    return Explanation(
        title=f"GPU cost: {figure}",
        snapshot_id=evidence.snapshot.snapshot_id,
        formula=_formula(chosen, is_reported=bool(landed.reported)),
        figures=(_by_state(chosen),),
        inputs=(
            Rows.of(
                "fct_gpu_costs_daily: the rows this figure sums",
                [{name: value for name, value in row.items() if name != "row_number"} for row in chosen],
            ),
            Rows.of("From the bill to the resource-day", landed.arithmetic),
            Rows.of("From the resource-day to its states", list(_split_rows(chosen, states, landed))),
        ),
        objects=(
            object_rows(evidence, "Objects of the money", [*landed.lines, *landed.daily, *landed.reported]),
            traced_rows(evidence, "Invoice lines", landed.lines, ("invoice_id", "line_number", "amount")),
            traced_rows(evidence, "Charges of a day", landed.daily, ("usage_date", "charge_kind", "amount")),
            traced_rows(
                evidence, "Usage that the issuer reports", landed.reported, ("usage_date", "reported_gpu_hours")
            ),
            Rows.of(
                "Samples that prove the states, by object and GPU",
                [
                    {
                        "usage_date": row["usage_date"],
                        "file": evidence.source(row["object_number"]).landed.name,
                        "sha256": evidence.source(row["object_number"]).landed.sha256,
                        "first_row": evidence.place(row["object_number"], row["first_object_row"]).where,
                        "last_row": evidence.place(row["object_number"], row["last_object_row"]).where,
                        "gpu_uuid": row["gpu_uuid"],
                        "samples": row["sample_count"],
                        "hours": Fraction(int(row["interval_milliseconds"]), _MS_PER_HOUR),
                    }
                    for row in samples
                ],
            ),
            Rows.of("Agreed rates (breakeven.yaml, landed)", _agreement_rows(evidence, landed.agreements)),
        ),
        equalities=tuple(_equalities(chosen, states, landed, observed)),
        outside_check=tuple(_outside(chosen, landed)),
    )


def _split_rows(chosen: Sequence[Record], states: Sequence[Record], landed: GpuMoney) -> Iterable[Record]:
    """Each chosen row: its resource-day's cost x its GPU-milliseconds / all of them."""
    paid: dict[tuple[Any, ...], int] = defaultdict(int)
    own: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in states:
        day = key_of(row, ("usage_date", "issuer", "resource_id"))
        paid[day] += row["gpu_milliseconds"]
        own[(*day, row["deployment_id"], row["state"])] += row["gpu_milliseconds"]
    whole: dict[tuple[Any, ...], int] = defaultdict(int)
    for key, part in landed.costs.items():
        whole[key[:-2]] += part
    for row in chosen:
        day = key_of(row, ("usage_date", "issuer", "resource_id"))
        weight = own.get((*day, row["deployment_id"], row["state"]))
        if weight is None:
            continue
        yield {
            "usage_date": row["usage_date"],
            "resource_id": row["resource_id"],
            "deployment_id": row["deployment_id"],
            "state": row["state"],
            "cost_of_the_day": from_quanta(whole[key_of(row, RESOURCE_DAY)]),
            "state_gpu_milliseconds": weight,
            "paid_gpu_milliseconds": paid[day],
            "share": from_quanta(landed.costs.get(key_of(row, ROW), 0)),
        }


def _by_state(chosen: Sequence[Record]) -> Rows:
    groups: dict[tuple[str, str, str | None], list[Record]] = defaultdict(list)
    for row in chosen:
        groups[row["state"], row["cost_measure"], row["billing_currency"]].append(row)
        groups["all", row["cost_measure"], row["billing_currency"]].append(row)
    rows = []
    for (state, measure, currency), held in sorted(
        groups.items(), key=lambda item: (item[0][0] == "all", str(item[0]))
    ):
        milliseconds = sum(row["gpu_milliseconds"] or 0 for row in held)
        cost = total([row["realized_cost"] for row in held])
        rows.append(
            {
                "state": state,
                "cost_measure": measure,
                "gpu_hours": Fraction(milliseconds, _MS_PER_HOUR),
                "realized_cost": cost,
                "currency": currency,
                "per_gpu_hour": Fraction(cost) * _MS_PER_HOUR / milliseconds
                if cost is not None and milliseconds
                else None,
            }
        )
    return Rows.of("The figure", rows)


_STATES = {
    "serving": "an engine on the GPU was working on at least one request (counters moved, or requests running)",
    "loaded_idle": "an engine answered and had no request",
    "starting": "a declared engine did not answer while a process held the GPU",
    "held_other": "a process that is no known engine held the GPU",
    "training": "of a resource whose declared scope is training, and no engine was on the GPU",
    "unallocated": "healthy, observed, and nothing held it",
    "unhealthy": "the driver reported an error",
    "conflict": "two feeds about the GPU cannot both be right: neither idle nor useful (`breakeven waste` names them)",
    "not_present": "the host was watched and showed fewer GPUs than are paid for",
    "unobserved": "paid for and not sampled: never called idle, never called busy",
    "overhead": "lines of the bill that are no GPU's",
    "per_use": "lines of services that are billed by use",
    "tax": "tax lines of the bill",
    "credit": "credits and discounts that belong to no GPU's hours",
}


def _formula(chosen: Sequence[Record], *, is_reported: bool) -> tuple[str, ...]:
    measures = {row["cost_measure"] for row in chosen}
    lines = [
        "cost of a state = cost of the resource-day x GPU-milliseconds of the state / GPU-milliseconds paid for, in "
        "units of 10^-18, leftover units to the largest remainders.",
    ]
    if "billed" in measures:
        lines.append("cost of the resource-day, billed = each line x milliseconds of the day / of its period.")
    if "accrued" in measures:
        lines.append("cost of the resource-day, accrued = agreed rate x GPUs x 24 h, until a bill covers the day.")
    if is_reported:
        lines.append("Where the issuer reports what was used of a day: agreed rate x the GPU-hours that it reports.")
    if "effective" in measures:
        lines.append("cost of the resource-day, effective = declared depreciation + hosting + power of the day.")
    lines.append("GPU-milliseconds of all states of a resource-day sum to those paid for.")
    lines += [f"{state}: {_STATES[state]}." for state in _STATES if any(row["state"] == state for row in chosen)]
    return tuple(lines)


def _agreement_rows(evidence: Evidence, agreements: Sequence[Record]) -> list[Record]:
    event = evidence.config_event
    distinct = {
        key_of(row, ("resource_id", "contract_rate_per_gpu_hour", "gpu_count", "valid_from_date")): row
        for row in agreements
    }
    return [
        {
            "resource_id": row["resource_id"],
            "rate_per_gpu_hour": row["contract_rate_per_gpu_hour"],
            "currency": row["currency"],
            "gpu_count": row["gpu_count"],
            "valid_from_date": row["valid_from_date"],
            "valid_to_date": row["valid_to_date"],
            "newest_config_event": event.event_id if event is not None else None,
            "landed_at": event.at.isoformat() if event is not None else None,
        }
        for row in distinct.values()
    ]


def _equalities(
    chosen: Sequence[Record], states: Sequence[Record], landed: GpuMoney, observed: Sequence[Record]
) -> Iterable[Equality]:
    priced = [row for row in chosen if row["realized_cost"] is not None]
    recomputed = {row["row_number"]: landed.costs.get(key_of(row, ROW), 0) for row in priced}
    yield Equality(
        f"{len(landed.lines)} invoice lines, {len(landed.daily)} charges of a day and {len(landed.agreements)} agreed "
        "days, split = the figure's cost",
        from_quanta(sum(recomputed.values())),
        from_quanta(sum(quanta(row["realized_cost"]) for row in priced)),
    )
    yield Equality(
        "mart rows whose own cost differs from the one recomputed = none",
        sum(recomputed[row["row_number"]] != quanta(row["realized_cost"]) for row in priced),
        0,
    )
    days = {key_of(row, ("usage_date", "issuer", "resource_id", "deployment_id", "state")) for row in chosen}
    yield Equality(
        "GPU-milliseconds of the states of these resource-days = those of the mart rows",
        sum(
            row["gpu_milliseconds"]
            for row in states
            if key_of(row, ("usage_date", "issuer", "resource_id", "deployment_id", "state")) in days
        ),
        sum(row["gpu_milliseconds"] or 0 for row in chosen),
    )
    if not observed:
        return
    yield Equality(
        "milliseconds that samples of these hosts and days cover = observed milliseconds in all states",
        int(sum(row["sample_milliseconds"] or 0 for row in observed)),
        int(sum(row["state_milliseconds"] or 0 for row in observed)),
    )


def _outside(chosen: Sequence[Record], landed: GpuMoney) -> Iterable[str]:
    for line in landed.lines:
        yield (
            f"Invoice {line['invoice_id']} of {line['account']}, row {line['line_number']} ({line['charge_kind']}, "
            f"{line['resource_id'] or 'no resource'}, {line['period_start']} to {line['period_end']}): expect "
            f"{line['amount']} {line['currency']}."
        )
    if landed.agreements:
        cost = sum(accrued(row) for row in landed.agreements if row["contract_rate_per_gpu_hour"] is not None)
        resources = ", ".join(sorted({row["resource_id"] for row in landed.agreements}))
        yield (
            f"Accrued, no invoice yet: the next one should bill {resources} for {len(landed.agreements)} resource-days "
            f"at {dollars(from_quanta(cost), landed.agreements[0]['currency'])} in all states together."
        )
    for host in sorted({row["host"] for row in chosen if row["host"] is not None}):
        days = sorted({row["usage_date"] for row in chosen if row["host"] == host})
        yield (
            f"Busy hours of {host} by its own DCGM exporter, if there is one (about, it samples): "
            f'sum(count_over_time((DCGM_FI_DEV_GPU_UTIL{{Hostname="{host}"}} > 0)[{len(days)}d:1m] @ '
            f"{_epoch(days[-1] + timedelta(days=1))})) / 60: more than the serving hours only where something else ran."
        )


def _epoch(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400


def _nothing(evidence: Evidence, figure: WasteFigure) -> NothingToExplainError:
    return nearest(
        evidence,
        mart="fct_gpu_costs_daily",
        what=f"No GPU cost for {figure}.",
        wanted={"deployment_id": figure.deployment, "resource_id": figure.resource, "state": figure.state},
    )
