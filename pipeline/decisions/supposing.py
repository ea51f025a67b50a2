"""What is supposed of a workload, put into the evidence of its verdict in the place of what is so. It reads nothing.

For `breakeven whatif`, and for what breakeven.yaml says of the quality of both lanes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from pipeline.build.config_tables.columns import CANDIDATE_COLUMNS, DEPLOYMENT_COLUMNS
from pipeline.decisions.window import QUANTA, Evidence, HoursOfDay, Row, Served
from pipeline.economics.exact import to_places
from pipeline.economics.prices import DatedPrice, PriceList
from pipeline.errors import BreakevenError

_MTOK = 1_000_000
_PLACES = 18
# Of a deployment that does not exist: as little GPU time as a rate needs, so that no replica is taken to be there.
SUPPOSED_DEPLOYMENT = "supposed"
_SUPPOSED_MILLISECONDS = 3600


class WhatIfError(BreakevenError):
    """What is supposed makes no sense here. The message says why, and what to suppose instead."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Amount:
    """So much instead, or so much of what it is."""

    absolute: Fraction | None = None
    factor: Fraction = Fraction(1)

    def of(self, value: Fraction) -> Fraction:
        return value * self.factor if self.absolute is None else self.absolute


@dataclass(frozen=True, kw_only=True)
class Supposed:
    """What is supposed of a workload. None leaves an input as it is; money is in the reporting currency.

    api_prices: by token class, per million tokens; "" is all of them. mix: share of the tokens by class, adding up to
    one. volume: times the traffic. overheads: a month's, all of them together.
    """

    api_prices: Mapping[str, Amount] = field(default_factory=dict)
    price_day: date | None = None
    gpu_hour: Amount | None = None
    gpu: str | None = None
    gpus_per_replica: int | None = None
    parameters_billions: Decimal | None = None
    tokens_per_second: Decimal | None = None
    volume: Fraction | None = None
    mix: Mapping[str, Fraction] | None = None
    overheads: Amount | None = None
    self_tokens_per_api_token: Fraction | None = None
    movable_share: Fraction | None = None

    @property
    def is_nothing(self) -> bool:
        return self == Supposed()


def with_supposed(
    workload: Row, deployment: Row | None, evidence: Evidence, supposed: Supposed
) -> tuple[Row, Row | None, Evidence]:
    """What a verdict is made of, as supposed. `evidence`: at the prices of `supposed.price_day`, where that is said.

    Raises WhatIfError where something is supposed of a workload that cannot be.
    """
    name = str(workload["workload"])
    _refuse_self_hosted(name, evidence, supposed)
    evidence = _with_traffic(evidence, name, supposed)
    evidence = _with_prices(evidence, workload, supposed)
    workload, deployment, evidence = _with_gpus(workload, deployment, evidence, supposed)
    if supposed.overheads is not None:
        evidence = replace(evidence, overheads=_overheads(evidence, workload, supposed.overheads))
    return workload, deployment, evidence


def _refuse_self_hosted(name: str, evidence: Evidence, supposed: Supposed) -> None:
    """Tokens that an own engine counted are self-hosted tokens already, and those that may not move are among them."""
    if "self_host" not in {row["lane"] for row in evidence.daily.get(name, ()) if row["tokens"]}:
        return
    if supposed.self_tokens_per_api_token is not None:
        raise WhatIfError(
            f"{name} is served by GPUs of yours in the window: its tokens are counted as these serve them. Suppose "
            "self tokens per API token of a workload that is on an API only."
        )
    if supposed.movable_share not in (None, 1):
        raise WhatIfError(
            f"{name} is served by GPUs of yours in the window: what of it may not move is served there too, and which "
            "tokens these are is not known. Suppose a movable share of a workload that is on an API only."
        )


def staying_part(name: str) -> str:
    """Whose the bill of what of a workload may not move is: a name that no declared workload can have."""
    return f"{name}, what may not move"


def _with_traffic(evidence: Evidence, name: str, supposed: Supposed) -> Evidence:
    """Other volumes and another mix. A replica's observed capacity is what it was; what may not move stays billed."""
    volume = Fraction(1) if supposed.volume is None else supposed.volume
    times = volume * (1 if supposed.movable_share is None else supposed.movable_share)
    billed = evidence.api_costs.get(name, ())
    if times != volume:
        staying = [_cost_left(row, volume, times) for row in billed]
        evidence = replace(evidence, api_costs={**evidence.api_costs, staying_part(name): staying})
    if times != 1:
        evidence = replace(
            evidence,
            hourly=[_of(day, name, lambda hours: _times(hours, times)) for day in evidence.hourly],
            daily=_of(evidence.daily, name, lambda rows: [_row_times(row, times) for row in rows]),
            api_costs=_of(evidence.api_costs, name, lambda rows: [_cost_times(row, times) for row in rows]),
            served={key: _served_times(served, name, times) for key, served in evidence.served.items()},
        )
    if supposed.mix is not None:
        mix = supposed.mix
        evidence = replace(
            evidence,
            hourly=[_of(day, name, lambda hours: _mixed(hours, mix)) for day in evidence.hourly],
            daily=_of(evidence.daily, name, lambda rows: _mixed_rows(rows, mix)),
        )
    return evidence


def _of(by_name: Mapping[str, Any], name: str, change: Any) -> dict[str, Any]:
    """The mapping with what it says of one name changed."""
    return {key: change(value) if key == name else value for key, value in by_name.items()}


def _times(hours: HoursOfDay, times: Fraction) -> HoursOfDay:
    scaled = [{name: round(count * times) for name, count in hour.items()} for hour in hours.hours]
    return HoursOfDay(hours=scaled, classes=hours.classes)


def _row_times(row: Row, times: Fraction) -> Row:
    return row if row["tokens"] is None else {**row, "tokens": round(row["tokens"] * times)}


def _cost_times(row: Row, times: Fraction) -> Row:
    quanta = row["billed_cost_quanta"]
    return {**_row_times(row, times), "billed_cost_quanta": None if quanta is None else round(quanta * times)}


def _cost_left(row: Row, volume: Fraction, times: Fraction) -> Row:
    """What `times` of a row leaves of `volume` times it."""
    whole, part = _cost_times(row, volume), _cost_times(row, times)
    left = {name: whole[name] - part[name] for name in ("tokens", "billed_cost_quanta") if row[name] is not None}
    return {**whole, **left}


def _served_times(served: Served, name: str, times: Fraction) -> Served:
    own = served.by_workload[name]
    return Served(by_workload=Counter({**served.by_workload, name: round(own * times)}), by_hour=served.by_hour)


def _parts(total: int, mix: Mapping[str, Fraction]) -> dict[str, int]:
    """A number of tokens in the shares of a mix, whole; the largest class takes what rounding leaves."""
    parts = {name: int(total * share) for name, share in mix.items()}
    parts[max(mix, key=lambda name: (mix[name], name))] += total - sum(parts.values())
    return {name: count for name, count in parts.items() if count}


def _mixed(hours: HoursOfDay, mix: Mapping[str, Fraction]) -> HoursOfDay:
    mixed = [_parts(sum(hour.values()), mix) for hour in hours.hours]
    return HoursOfDay(hours=mixed, classes=frozenset().union(*mixed))


def _mixed_rows(rows: Sequence[Row], mix: Mapping[str, Fraction]) -> list[Row]:
    """The day's rows of each lane, in the shares of the mix."""
    totals: dict[tuple[date, str, str], int] = {}
    for row in rows:
        key = (row["usage_date"], row["lane"], row["evidence"])
        totals[key] = totals.get(key, 0) + int(row["tokens"] or 0)
    return [
        {
            "usage_date": day,
            "workload": rows[0]["workload"],
            "lane": lane,
            "token_class": name,
            "tokens": count,
            "evidence": known,
        }
        for (day, lane, known), total in totals.items()
        for name, count in _parts(total, mix).items()
    ]


def _with_prices(evidence: Evidence, workload: Row, supposed: Supposed) -> Evidence:
    """What was billed and what is listed, at other prices. A bill that is not converted stays so."""
    if not supposed.api_prices:
        return evidence
    name, day = str(workload["workload"]), evidence.window.day

    def amount_of(token_class: str | None) -> Amount | None:
        return supposed.api_prices.get(token_class or "", supposed.api_prices.get(""))

    def billed(row: Row) -> Row:
        amount = amount_of(row["token_class"])
        if amount is None or row["billed_cost_quanta"] is None or not row["tokens"] or row["token_class"] is None:
            return row
        if amount.absolute is None:
            return {**row, "billed_cost_quanta": round(row["billed_cost_quanta"] * amount.factor)}
        # The price of every day of the window is supposed: none of them is repriced beside it.
        cost = Fraction(row["tokens"]) * amount.absolute * QUANTA / _MTOK
        return {**row, "billed_cost_quanta": round(cost), "price_mode": None}

    def listed(price: DatedPrice) -> DatedPrice:
        amount, rate = amount_of(price.key.token_class), evidence.rates.on(day, price.currency)
        if amount is None or price.key.model not in (workload["api_model"], workload["comparator_model"]):
            return price
        if amount.absolute is not None and rate:
            return replace(price, per_mtok=to_places(amount.absolute / rate, _PLACES))
        return replace(price, per_mtok=to_places(Fraction(price.per_mtok) * amount.factor, _PLACES))

    names = (name, staying_part(name))
    return replace(
        evidence,
        api_costs={
            key: [billed(row) for row in rows] if key in names else rows for key, rows in evidence.api_costs.items()
        },
        api_prices=PriceList(listed(price) for price in evidence.api_prices),
    )


def _with_gpus(
    workload: Row, deployment: Row | None, evidence: Evidence, supposed: Supposed
) -> tuple[Row, Row | None, Evidence]:
    """Other GPUs, another rate, another throughput; of a workload without a deployment, one that might be."""
    kappa, throughput = supposed.self_tokens_per_api_token, supposed.tokens_per_second
    if supposed.gpu is not None and throughput is None:
        return workload, None, _candidate(workload, deployment, evidence, supposed)
    if deployment is None:
        if throughput is None or supposed.gpu_hour is None or supposed.gpu_hour.absolute is None:
            return workload, None, _candidate(workload, None, evidence, supposed)
        workload, deployment, evidence = _supposed_deployment(workload, evidence, supposed)
    elif supposed.gpu_hour is not None:
        evidence = _at_gpu_rate(evidence, str(deployment["deployment_id"]), supposed.gpu_hour)
    if supposed.gpus_per_replica is not None:
        deployment = {**deployment, "gpus_per_replica": supposed.gpus_per_replica}
    given = {"gpu_type": supposed.gpu, "parameters_billions": supposed.parameters_billions}
    deployment = {**deployment, **{name: value for name, value in given.items() if value is not None}}
    if throughput is not None:
        deployment = {
            **deployment,
            **dict.fromkeys(("prefill_tokens_per_second", "cached_tokens_per_second", "decode_tokens_per_second")),
            "tokens_per_second": throughput,
            "peak_allowance": deployment["peak_allowance"] or Decimal("0.85"),
            "measured_on": evidence.window.day,
            "capacity_source": "supposed, not measured",
        }
    if kappa is not None:
        deployment = _with_kappa(deployment, kappa)
    return workload, deployment, evidence


# What is taken of a model and its requests where nobody says it, as breakeven.yaml takes it.
_HARDWARE: Mapping[str, Any] = {"bytes_per_parameter": Decimal(2), "tokens_per_step": Decimal(1)}
_RATES = (
    "tokens_per_second",
    "prefill_tokens_per_second",
    "cached_tokens_per_second",
    "decode_tokens_per_second",
)


def _with_kappa(deployment: Row, kappa: Fraction) -> Row:
    """A replica does so many times less of what the API's tokens do (economics.md 2)."""
    if not any(deployment[name] for name in _RATES):
        raise WhatIfError(
            f"Nobody has declared or measured what a replica of {deployment['deployment_id']} sustains: suppose it "
            "too, with --tokens-per-second."
        )
    slower = {name: to_places(Fraction(deployment[name]) / kappa, _PLACES) for name in _RATES if deployment[name]}
    return {**deployment, **slower}


def _at_gpu_rate(evidence: Evidence, deployment_id: str, amount: Amount) -> Evidence:
    def changed(row: Row) -> Row:
        quanta, milliseconds = row["realized_cost_quanta"], row["gpu_milliseconds"]
        if amount.absolute is not None and milliseconds:
            quanta = round(amount.absolute * QUANTA * milliseconds / 3_600_000)
            return {**row, "realized_cost_quanta": quanta, "unconverted_currency": None}
        return {**row, "realized_cost_quanta": None if quanta is None else round(quanta * amount.factor)}

    rows = evidence.gpu_costs.get(deployment_id, ())
    return replace(evidence, gpu_costs={**evidence.gpu_costs, deployment_id: [changed(row) for row in rows]})


def _candidate(workload: Row, deployment: Row | None, evidence: Evidence, supposed: Supposed) -> Evidence:
    """What is supposed of GPUs, as if breakeven.yaml had it of a candidate: what is unknown of it is solved for."""
    name = str(workload["workload"])
    known = evidence.candidates.get(name)
    row: dict[str, Any] = {
        **dict.fromkeys(CANDIDATE_COLUMNS),
        **_HARDWARE,
        "peak_allowance": Decimal("0.85"),
        "currency": evidence.reporting_currency,
        **(known or {}),
    }
    if deployment is not None:
        row |= {name: deployment[name] for name in (*_HARDWARE, "gpus_per_replica", "parameters_billions")}
    given = {
        "gpu_type": supposed.gpu,
        "gpus_per_replica": supposed.gpus_per_replica,
        "parameters_billions": supposed.parameters_billions,
        "tokens_per_second": supposed.tokens_per_second,
        "tokens_per_api_token": _decimal(supposed.self_tokens_per_api_token),
    }
    row |= {key: value for key, value in given.items() if value is not None}
    if supposed.gpu_hour is not None:
        rate = row["gpu_hour_rate"]
        if supposed.gpu_hour.absolute is None and rate is None:
            raise WhatIfError(f"No GPU-hour rate of {name} is known to change: suppose one, as --gpu-hour 2.69.")
        row["gpu_hour_rate"] = _decimal(supposed.gpu_hour.of(Fraction(rate or 0)))
        if supposed.gpu_hour.absolute is not None:
            row["currency"] = evidence.reporting_currency
    is_changed = known is not None or any(value is not None for value in (*given.values(), supposed.gpu_hour))
    return replace(evidence, candidates={**evidence.candidates, name: row}) if is_changed else evidence


def _supposed_deployment(workload: Row, evidence: Evidence, supposed: Supposed) -> tuple[Row, Row, Evidence]:
    """A deployment that costs and sustains what is supposed, and of which no replica is there yet."""
    candidate = evidence.candidates.get(str(workload["workload"]), {})
    gpus = supposed.gpus_per_replica or candidate.get("gpus_per_replica") or 1
    assert supposed.gpu_hour is not None
    assert supposed.gpu_hour.absolute is not None
    cost = round(supposed.gpu_hour.absolute * QUANTA * _SUPPOSED_MILLISECONDS / 3_600_000)
    costs: list[Row] = [
        {
            "usage_date": day,
            "deployment_id": SUPPOSED_DEPLOYMENT,
            "cost_measure": "supposed",
            "unconverted_currency": None,
            "gpu_milliseconds": _SUPPOSED_MILLISECONDS,
            "realized_cost_quanta": cost,
        }
        for day in evidence.window.settled
    ]
    deployment = {
        **dict.fromkeys(DEPLOYMENT_COLUMNS),
        **_HARDWARE,
        **{name: value for name, value in candidate.items() if name in DEPLOYMENT_COLUMNS},
        **dict.fromkeys(_RATES),
        "deployment_id": SUPPOSED_DEPLOYMENT,
        "gpus_per_replica": gpus,
        "minimum_replicas": 1,
        "spare_replicas": 0,
        "peak_allowance": candidate.get("peak_allowance"),
    }
    evidence = replace(evidence, gpu_costs={**evidence.gpu_costs, SUPPOSED_DEPLOYMENT: costs})
    return {**workload, "deployment_id": SUPPOSED_DEPLOYMENT}, deployment, evidence


def _overheads(evidence: Evidence, workload: Row, amount: Amount) -> list[Row]:
    """The month's overheads of the workload's deployment, and those of none in particular, as supposed."""
    if amount.absolute is None:
        return [
            {**row, "monthly_cost": to_places(Fraction(row["monthly_cost"]) * amount.factor, _PLACES)}
            for row in evidence.overheads
        ]
    row = {
        "item": "supposed",
        "monthly_cost": to_places(amount.absolute, _PLACES),
        "currency": evidence.reporting_currency,
        "deployment_id": None,
    }
    others = [one for one in evidence.overheads if one["deployment_id"] not in (None, workload["deployment_id"])]
    return [*others, row]


def _decimal(value: Fraction | None) -> Decimal | None:
    return None if value is None else to_places(value, _PLACES)
