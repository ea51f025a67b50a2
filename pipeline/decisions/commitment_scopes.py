"""Node `fct_commitment_scopes_daily`: who used what of each commitment to an API's provider, over a verdict's window.

A commitment or a minimum is due for all bills that it covers together, whoever's traffic they are: its scope. What the
traffic that stays leaves of it unused is due whatever moves, and what the bills are above it can be avoided once.
Formulas: economics.md 1. A verdict takes the same from `pipeline.decisions.api_side`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.decisions import rates
from pipeline.decisions.api_side import floor_per_day, named_contract, scope_of, share_of_period, used_quanta
from pipeline.decisions.rates import Rates
from pipeline.decisions.window import QUANTA, WINDOW_DAYS, Row, Rows, in_quanta, status_row, valid_on, window_on
from pipeline.decisions.window import READS as VERDICT_READS
from pipeline.economics.exact import to_places

_PLACES = 18
_DATED = ("fct_api_costs_daily", "fct_day_status_daily", "int_fx_rates_daily")
INPUTS = ("config_contracts", *_DATED)
LOOKBACK = dict.fromkeys(_DATED, WINDOW_DAYS - 1)
READS: Mapping[str, str] = {
    "fct_api_costs_daily": """
        select
            usage_date, workload, provider, account,
            count(*) filter (where billed_cost is not null and billed_cost_rc is null) as unconverted_count,
            coalesce(tokens, 0) != 0 and token_class is not null as is_of_tokens,
            charge_kind = 'other' and model is null as is_of_a_period,
            cast(sum(billed_cost_rc) as decimal(38, 18)) as billed_cost_rc
        from fct_api_costs_daily
        group by usage_date, workload, provider, account, is_of_tokens, is_of_a_period""",
    "fct_day_status_daily": VERDICT_READS["fct_day_status_daily"],
    "int_fx_rates_daily": rates.READ,
}


def _costs(frame: pl.DataFrame) -> Rows:
    return in_quanta(frame, "billed_cost")


PREPARE = {
    "config_contracts": pl.DataFrame.to_dicts,
    "fct_api_costs_daily": _costs,
    "fct_day_status_daily": status_row,
    "int_fx_rates_daily": rates.rates_of_day,
}

_MONEY = pl.Decimal(38, 18)
SCHEMA: Mapping[str, pl.DataType] = {
    "usage_date": pl.Date(),
    "commitment": pl.String(),
    "workload": pl.String(),
    "window_days_count": pl.Int64(),
    "due_cost_rc": _MONEY,
    "token_billed_cost_rc": _MONEY,
    "other_billed_cost_rc": _MONEY,
    "unconverted_count": pl.Int64(),
}


def build(inputs: Mapping[str, Any]) -> pl.DataFrame:
    """One row per commitment in force on the partition's day and workload that was billed under it; `unassigned` too.

    token_billed_cost_rc: of tokens that are known, which leaves with them; other_billed_cost_rc: the rest, which stays
    and goes against the commitment too, of what is billed for a period, such as a shortfall, as much as the settled
    days are of it. due_cost_rc: of the whole commitment, over the settled days; NULL where its currency has no rate.
    """
    day: date = inputs["this_partition"]["from_date"][0]
    contracts = valid_on(day, inputs["config_contracts"])
    rows: list[dict[str, Any]] = []
    if any(floor_per_day(contract, day) for contract in contracts):
        window = window_on(inputs["fct_day_status_daily"], day)
        days = [inputs["int_fx_rates_daily"].get(found) for found in window.settled]
        on = Rates({found: known for found, known in zip(window.settled, days, strict=True) if known})
        costs = [row for found in window.settled for row in inputs["fct_api_costs_daily"].get(found, ())]
        for contract in contracts:
            rows.extend(_rows(contract, contracts, costs, on, day=day, days=len(window.settled)))
    return pl.DataFrame(rows, schema=dict(SCHEMA), orient="row")


def _rows(contract: Row, contracts: Rows, costs: Rows, on: Rates, *, day: date, days: int) -> list[dict[str, Any]]:
    floor, unit = floor_per_day(contract, day) * days, on.on(day, contract["currency"])
    share = share_of_period(contract, day, days)
    billed: dict[str, list[Row]] = {}
    for row in costs if floor else ():
        if scope_of(row["provider"], row["account"], contracts) is contract:
            billed.setdefault(str(row["workload"]), []).append(row)
    return [
        {
            "usage_date": day,
            "commitment": named_contract(contract),
            "workload": workload,
            "window_days_count": days,
            "due_cost_rc": None if unit is None else to_places(floor * unit, _PLACES),
            "token_billed_cost_rc": _sum((row for row in found if row["is_of_tokens"]), share),
            "other_billed_cost_rc": _sum((row for row in found if not row["is_of_tokens"]), share),
            "unconverted_count": sum(row["unconverted_count"] for row in found),
        }
        for workload, found in sorted(billed.items())
    ]


def _sum(rows: Iterable[Row], share: Fraction) -> Decimal:
    return to_places(sum((used_quanta(row, share) for row in rows), Fraction(0)) / QUANTA, _PLACES)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """A commitment, and what was billed under it: a day's part of each, in the reporting currency.

    tokens_per_day: for the tokens of each workload; others_per_day: for all else.
    """

    name: str
    due_per_day: Fraction
    tokens_per_day: Mapping[str, Fraction]
    others_per_day: Fraction

    def committed_beside(self, moving: Sequence[str], *, staying_per_day: Fraction = Fraction(0)) -> Fraction:
        """What is due for a day however much of the traffic of `moving` leaves: what all others do not use up.

        `staying_per_day`: of the cost of `moving`, what does not leave either.
        """
        tokens = (cost for name, cost in self.tokens_per_day.items() if name not in moving)
        staying = sum(tokens, self.others_per_day + staying_per_day)
        return max(Fraction(0), self.due_per_day - max(Fraction(0), staying))


def scopes_by_workload(frame: pl.DataFrame) -> dict[str, Scope]:
    """Rows of one day. A workload under several commitments has no verdict, and what is not converted is no scope."""
    rows = frame.to_dicts()
    by_name: dict[str, list[Row]] = {}
    for row in rows:
        by_name.setdefault(row["commitment"], []).append(row)
    found: dict[str, Scope] = {}
    for name, theirs in by_name.items():
        if theirs[0]["due_cost_rc"] is None:
            continue
        days = theirs[0]["window_days_count"]
        scope = Scope(
            name=name,
            due_per_day=Fraction(theirs[0]["due_cost_rc"]) / days,
            tokens_per_day={row["workload"]: Fraction(row["token_billed_cost_rc"]) / days for row in theirs},
            others_per_day=sum((Fraction(row["other_billed_cost_rc"]) for row in theirs), Fraction(0)) / days,
        )
        found |= dict.fromkeys(scope.tokens_per_day, scope)
    return found
