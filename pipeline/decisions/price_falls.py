"""What falling API prices leave of a verdict's replicas: when they stop saving, and whether a one-off comes back.

Own GPUs are rented at the verdict's rate throughout; the API's price of the traffic that they take falls by a constant
share a year. Formulas: `pipeline.economics.payback` (economics.md 3).
"""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

from pipeline.economics.exact import to_places
from pipeline.economics.payback import OneOff, Payback, payback, savings_with_falling_prices

LOOKED_AHEAD_MONTHS = 60
# The twelfth root of what is left after a year is no fraction: it is cut there, far below what anybody states.
_ROOT = Context(prec=30)
_PLACES = 18


@dataclass(frozen=True)
class PriceFall:
    """Of one workload. Money of a month at today's prices, in the reporting currency.

    api_cost: of the traffic that the replicas take, at the API. saves_months: how many months from now on the replicas
    save anything; None: as far as anybody looks.
    """

    workload: str
    replicas: int
    api_cost: Fraction
    self_host_cost: Fraction
    saves_months: int | None
    payback: Payback


def price_fall(verdict: Mapping[str, Any], workload: Mapping[str, Any], *, yearly_fall: Fraction) -> PriceFall | None:
    """Of a verdict (a row of `fct_verdicts_daily`) and its workload (of `config_workloads`).

    None where the verdict has no replicas to weigh. Raises ValueError for a fall that is not in [0, 1).
    """
    count, days = verdict["best_replica_count"], verdict["window_days_count"]
    if not count or not days or verdict["best_cost_rc"] is None:
        return None
    month = Fraction(monthrange(verdict["usage_date"].year, verdict["usage_date"].month)[1], days)
    own = Fraction(verdict["replica_cost_rc"]) * count + Fraction(verdict["fixed_cost_rc"])
    displaced = Fraction(verdict["api_only_cost_rc"]) - (Fraction(verdict["best_cost_rc"]) - own)
    savings = savings_with_falling_prices(
        api_cost=displaced * month,
        self_host_cost=own * month,
        monthly_price_fall=_monthly(yearly_fall),
        months=LOOKED_AHEAD_MONTHS,
    )
    saving = next((found for found, amount in enumerate(savings) if amount <= 0), None)
    one_off = workload["migration_one_off_cost"]
    return PriceFall(
        workload=str(verdict["workload"]),
        replicas=count,
        api_cost=displaced * month,
        self_host_cost=own * month,
        saves_months=saving,
        payback=payback(
            monthly_savings=savings, one_offs=[] if one_off is None else [OneOff(item="migration", amount=one_off)]
        ),
    )


def _monthly(yearly_fall: Fraction) -> Fraction:
    """The share a month that comes to a share a year."""
    if not 0 <= yearly_fall < 1:
        raise ValueError(f"A fall of {yearly_fall} a year: pass a share from 0 to below 1, such as 0.3.")
    left = to_places(1 - yearly_fall, _PLACES)
    return 1 - Fraction(to_places(Fraction(_ROOT.power(left, Decimal(1) / Decimal(12))), _PLACES))
