"""Offers for a workload, from a file a person wrote, beside what it costs today: reservations, spot, purchases, API
commitments. The month's own hours are repeated for every month of the horizon, as large as traffic is forecast to be.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import polars as pl
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from pipeline.build.publish import open_snapshot
from pipeline.build.snapshot import Snapshot
from pipeline.config.values import Money
from pipeline.decisions.supposing import WhatIfError
from pipeline.decisions.verdicts import Grounds
from pipeline.economics.breakeven_interval import nearest_rank_of
from pipeline.economics.daily_demand import HOURS_PER_DAY, flattest
from pipeline.economics.forecast import HORIZON_DAYS, Forecast, forecast
from pipeline.economics.offers import Costed, Terms, Traffic, compare_offers

_DAYS_A_MONTH = 30
_MOST_MONTHS = 120
_EXPECTED = "expected"
_PATHS = {"20%": 0.2, _EXPECTED: 0.5, "80%": 0.8}
_AS_IT_IS = "API as it is"
_AS_RENTED = "GPUs at today's rate"
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    offer: str = Field(min_length=1)


class OnDemand(_Entry):
    """Rented by the month, in the count that is best."""

    kind: Literal["on_demand"]
    gpu_hour: Money = Field(ge=0)


class Spot(_Entry):
    """As on demand; work that an interruption throws away is done again."""

    kind: Literal["spot"]
    gpu_hour: Money = Field(ge=0)
    interruption_share: Money = Field(ge=0, le=1)


class Reservation(_Entry):
    """Paid for `months`, used or not; `upfront` is the share of all of it that is paid at once."""

    kind: Literal["reservation"]
    gpu_hour: Money = Field(ge=0)
    months: int = Field(ge=1, le=_MOST_MONTHS)
    upfront: Money = Field(default=Decimal(0), ge=0, le=1)
    replicas: int | None = Field(default=None, ge=0, le=100_000)


class Purchase(_Entry):
    """Hardware, written off over `months` to what it then brings, and what it costs a month to run."""

    kind: Literal["purchase"]
    price: Money = Field(ge=0)
    gpus: int = Field(ge=1, le=100_000)
    months: int = Field(ge=1, le=_MOST_MONTHS)
    residual: Money = Field(default=Decimal(0), ge=0)
    running_monthly: Money = Field(ge=0)

    @model_validator(mode="after")
    def _loses_value(self) -> Self:
        if self.residual > self.price:
            raise PydanticCustomError(
                "residual",
                f"residual is {self.residual}, more than the price of {self.price}: say what it brings when it is sold",
            )
        return self


class ApiCommitment(_Entry):
    """The API alone, cheaper, and so much of it due in each period."""

    kind: Literal["api_commitment"]
    commitment: Money = Field(ge=0)
    per: Literal["month", "quarter", "year"] = "month"
    discount: Money = Field(ge=0, lt=1)
    months: int = Field(ge=1, le=_MOST_MONTHS)


Offer = Annotated[OnDemand | Spot | Reservation | Purchase | ApiCommitment, Field(discriminator="kind")]


class _Paths(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    low: Money = Field(ge=0)
    high: Money = Field(ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise PydanticCustomError("paths", f"low is {self.low}, above high, {self.high}: swap them")
        return self


class Offers(BaseModel):
    """The file: offers, and for how many months they are compared. Money is in the reporting currency.

    `paths`: traffic at its low and its high, as times this month's, where no forecast has an interval.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizon_months: int = Field(default=12, ge=1, le=_MOST_MONTHS)
    paths: _Paths | None = None
    offers: tuple[Offer, ...] = Field(min_length=1)


def read_offers(path: Path) -> Offers:
    """The file, checked. WhatIfError names the entry, what it says, and what belongs there."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WhatIfError(f"{path.name} cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise WhatIfError(f"{path.name} is nested too deep: look for a bracket that is not closed.") from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: what looks like a date or a number to YAML and is none, or is not UTF-8.
        raise WhatIfError(f"{path.name} is no YAML: {' '.join(str(error).split())[:200]}.") from None
    try:
        found = Offers.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise WhatIfError(f"{path.name}: {where}: {first['msg']}. See breakeven whatif --help.") from None
    names = [one.offer for one in found.offers]
    taken = next((name for name in names if name in (_AS_IT_IS, _AS_RENTED)), None)
    if taken is not None:
        raise WhatIfError(f"{path.name}: {taken!r} stands beside the offers already. Rename yours.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise WhatIfError(f"{path.name}: the offer {twice[0]!r} is there twice. Rename one of them.")
    return found


@dataclass(frozen=True)
class Compared:
    """Every offer, cheapest first; the paths they were paid on; and what is to be said of these."""

    costed: tuple[Costed, ...]
    horizon_months: int
    paths: Mapping[str, Sequence[Fraction]]
    remarks: tuple[str, ...]


def compare(
    offers: Offers,
    grounds: Grounds,
    *,
    gpus_per_replica: int,
    days: int,
    history: Sequence[int | None],
    last_day: date,
    has_gpus: bool,
) -> Compared:
    """`days`: of the month that the grounds are of; `history`: tokens of each day to `last_day`, None where unknown.

    Beside the offers stand the API as it is and, where there are GPUs, more or fewer of them at today's rate.
    """
    hours = days * HOURS_PER_DAY
    terms: dict[str, Terms] = {_AS_IT_IS: Terms(replicas=0)}
    if has_gpus:
        terms[_AS_RENTED] = Terms(replica_month=grounds.replica_cost)
    for one in offers.offers:
        terms[one.offer] = _terms(one, gpus_per_replica=gpus_per_replica, hours=hours)
    paths, remarks = _paths(offers, history, last_day, days)
    work = grounds.work
    costed = compare_offers(
        terms,
        Traffic(
            hourly_demand=[*work.hours, *(Fraction(hour) for units in work.days for hour in flattest(units))],
            capacity_per_replica_hour=work.capacity_per_replica_hour,
            price_per_unit=work.price_per_unit,
            fixed_month=grounds.fixed_cost,
            paths=paths,
            expected=_EXPECTED,
            committed_month=grounds.price.committed,
        ),
    )
    horizon = offers.horizon_months
    length = f"Each of the {horizon} months is as long as this one, {days} days: {horizon * days} days in all."
    return Compared(costed, horizon, paths, (*remarks, length))


def _terms(one: Any, *, gpus_per_replica: int, hours: int) -> Terms:
    if isinstance(one, Purchase):
        replicas = one.gpus // gpus_per_replica
        if not replicas:
            raise WhatIfError(
                f"{one.offer}: {one.gpus} GPUs make no replica, which takes {gpus_per_replica}. Suppose fewer with "
                "--gpus-per-replica, or buy more."
            )
        return Terms(
            replica_month=Fraction(one.running_monthly) / replicas,
            replicas=replicas,
            bought_for=one.price,
            residual=one.residual,
            months=one.months,
        )
    if isinstance(one, ApiCommitment):
        return Terms(
            replicas=0,
            api_discount=one.discount,
            api_commitment_month=Fraction(one.commitment) / _MONTHS[one.per],
            months=one.months,
        )
    rent = Fraction(one.gpu_hour) * gpus_per_replica * hours
    if isinstance(one, Spot):
        return Terms(replica_month=rent * (1 + Fraction(one.interruption_share)))
    if isinstance(one, Reservation):
        return Terms(replica_month=rent, replicas=one.replicas, paid_first=one.upfront, months=one.months)
    return Terms(replica_month=rent)


def _paths(
    offers: Offers, history: Sequence[int | None], last_day: date, days: int
) -> tuple[dict[str, list[Fraction]], tuple[str, ...]]:
    """Times this month's traffic, month by month: as forecast, else as said, else as it is."""
    horizon = offers.horizon_months
    if offers.paths is not None:
        said = {"20%": Fraction(offers.paths.low), _EXPECTED: Fraction(1), "80%": Fraction(offers.paths.high)}
        remark = (
            f"Paths as the file says: {float(said['20%']):g} and {float(said['80%']):g} times this month's traffic."
        )
        return {name: [times] * horizon for name, times in said.items()}, (remark,)
    found = forecast(history, last_day=last_day)
    known = [day for day in history[-days:] if day is not None]
    mean = sum(known) / len(known) if known else 0
    if found is None or not found.has_interval or not mean:
        remark = (
            "Traffic is taken to stay as it is: fewer than 8 earlier forecasts of it can be checked, so its 20 and 80% "
            "paths are unknown. Say them in the file: paths: {low: 0.7, high: 1.5}."
        )
        return {_EXPECTED: [Fraction(1)] * horizon}, (remark,)
    paths = {
        name: [_times(found, nearest_rank_of(found.errors, share), month, mean) for month in range(horizon)]
        for name, share in _PATHS.items()
    }
    beyond = "" if horizon * _DAYS_A_MONTH <= HORIZON_DAYS else f", and as on day {HORIZON_DAYS} beyond it"
    return paths, (f"Paths from the forecast of {found.first_day}, by how it missed before{beyond}.",)


def _times(found: Forecast, error: float, month: int, mean: float) -> Fraction:
    """In the middle of a month ahead, in millionths: a forecast is no more exact than that."""
    ahead = min(HORIZON_DAYS, month * _DAYS_A_MONTH + _DAYS_A_MONTH // 2)
    times = found.at(ahead, error) / mean
    return Fraction(round(times * 10**6) if math.isfinite(times) else 0, 10**6)


def daily_history(snapshot: Snapshot, workload: str, *, last_day: date) -> list[int | None]:
    """A workload's tokens of each day from its first one to `last_day`; None where a day is not settled."""
    connection = open_snapshot(snapshot, only=("fct_demand_daily", "fct_day_status_daily"))
    try:
        tokens = pl.DataFrame(
            connection.sql(
                "select usage_date, cast(sum(tokens) as bigint) as tokens from fct_demand_daily "
                "where workload = $workload and usage_date <= $last_day group by usage_date",
                params={"workload": workload, "last_day": last_day},
            )
        )
        settled = connection.execute(
            "select usage_date from fct_day_status_daily where status = 'settled' and blocked_count = 0"
        ).fetchall()
    finally:
        connection.close()
    of_day: dict[date, int] = dict(tokens.iter_rows())
    is_settled = {day for (day,) in settled}
    if not of_day:
        return []
    first = min(of_day)
    every = [first + timedelta(days=number) for number in range((last_day - first).days + 1)]
    return [of_day.get(day) or 0 if day in is_settled else None for day in every]
