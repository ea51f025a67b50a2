"""What a verdict is made of, read from the marts of its window. Nothing is decided here."""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction

from pipeline.explain.evidence import Evidence, Record

_PREFILL = ("input_uncached", "input_cache_write_5m", "input_cache_write_1h")
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class VerdictInputs:
    """The published row and the marts' rows behind it. Tokens by class leave out classes without any."""

    row: Record
    days: Sequence[date]
    demand: Sequence[Record]
    hours: Sequence[Record]
    billed: Sequence[Record]
    listed: Sequence[Record]
    gpu: Sequence[Record]
    served: Sequence[Record]
    deployment: Record | None
    candidate: Record | None
    overheads: Sequence[Record]
    rates: Sequence[Record]
    unconverted: Sequence[Record]
    repriced: Sequence[Record] = ()
    commitments: Sequence[Record] = ()

    @property
    def day(self) -> date:
        day = self.row["usage_date"]
        assert isinstance(day, date)
        return day

    @property
    def hour_count(self) -> int:
        return 24 * len(self.days)

    def tokens(self, lane: str | None = None) -> dict[str, int]:
        """Demand by class over the window, of one lane or of both."""
        found: dict[str, int] = {}
        for row in self.demand:
            if row["tokens"] is not None and lane in (None, row["lane"]):
                found[row["token_class"]] = found.get(row["token_class"], 0) + int(row["tokens"])
        return {name: count for name, count in sorted(found.items()) if count}

    def week_tokens(self) -> int | None:
        """Tokens of the last seven days; None when one of them is not settled."""
        week = {self.day - timedelta(days=back) for back in range(7)}
        if not week <= set(self.days) or not self.demand:
            return None
        return sum(int(row["tokens"] or 0) for row in self.demand if row["usage_date"] in week)

    def price_parts(self, name: str) -> tuple[Fraction, int, str] | None:
        """(money, tokens, basis) of a class: what was billed for how many, else the price of a million.

        What was billed at a price that no longer holds counts at the one that does (`moved`). None also where part of
        the bill has no exchange rate: a list price is no substitute for it.
        """
        if self.unconverted:
            return None
        for row in self.billed:
            if row["token_class"] == name:
                moved = [money for _, money in self.moved(name)]
                basis = "realized, repriced" if any(moved) else "realized"
                return Fraction(row["billed_cost_rc"]) + sum(moved, Fraction(0)), int(row["tokens"]), basis
        for row in reversed(self.listed):
            rate = self.rate(self.day, row["currency"])
            if row["token_class"] == name and rate is not None:
                return Fraction(row["cost_per_mtok"]) * rate, 1_000_000, str(row["basis"])
        return None

    def moved(self, name: str) -> list[tuple[Record, Fraction]]:
        """Of each part of a class that was billed at a price which no longer holds: by how much it is dearer now."""
        found = []
        for row in self.repriced:
            before, now = self.rate(self.day, row["currency_before"]), self.rate(self.day, row["currency_now"])
            if row["token_class"] == name and before is not None and now is not None:
                ratio = Fraction(row["cost_per_mtok_now"]) * now / (Fraction(row["cost_per_mtok_before"]) * before)
                found.append((row, Fraction(row["billed_cost_rc"]) * (ratio - 1)))
        return found

    def without_cache(self) -> tuple[Fraction, int, str] | None:
        """As `price_parts`, of a token that the API would not find in its cache: at its price for input."""
        for row in reversed(self.listed):
            rate = self.rate(self.day, row["currency"])
            if row["token_class"] == "input_uncached" and rate is not None:
                return Fraction(row["cost_per_mtok"]) * rate, 1_000_000, "list without a cache hit"
        return None

    def rate(self, day: date, currency: str) -> Fraction | None:
        """What one unit of a currency is in the reporting one that day."""
        for row in self.rates:
            if (row["usage_date"], row["currency"]) == (day, currency):
                return Fraction(int(row["multiplier"]), int(row["divisor"]))
        return None

    def class_rates(self) -> dict[str, Fraction] | None:
        """Declared tokens per second of one replica by class; None where nothing is declared."""
        declared = self.deployment
        if declared is None:
            return None
        if declared["prefill_tokens_per_second"] is None or declared["decode_tokens_per_second"] is None:
            blended = declared["tokens_per_second"]
            return None if blended is None else dict.fromkeys(self.tokens(), Fraction(blended))
        prefill = Fraction(declared["prefill_tokens_per_second"])
        cached = declared["cached_tokens_per_second"]
        rates = dict.fromkeys(_PREFILL, prefill)
        rates["input_cache_read"] = Fraction(cached) if cached else prefill
        rates["output"] = Fraction(declared["decode_tokens_per_second"])
        return rates

    def provisioned_replicas(self, day: date) -> Fraction:
        """Replicas paid for on a day."""
        assert self.deployment is not None
        paid = sum(int(row["gpu_milliseconds"] or 0) for row in self.gpu if row["usage_date"] == day)
        return Fraction(paid, _DAY_MS * int(self.deployment["gpus_per_replica"]))

    def days_by_month_length(self) -> dict[int, int]:
        """Days of the window in months of 31 days, of 30, ...: a month's overhead is spread over its own days."""
        found: dict[int, int] = {}
        for day in self.days:
            found[days_in_month(day)] = found.get(days_in_month(day), 0) + 1
        return found

    def best_hour(self) -> tuple[datetime, int, Fraction] | None:
        """The hour in which a replica served most, its tokens and its day's replicas; the earlier of equals."""
        replicas = {day: self.provisioned_replicas(day) for day in self.days}
        hours = [
            (row["usage_hour_at"], int(row["tokens"]), replicas[row["usage_hour_at"].date()])
            for row in self.served
            if row["tokens"] and replicas[row["usage_hour_at"].date()]
        ]
        return min(hours, key=lambda hour: (-hour[1] / hour[2], hour[0]), default=None)

    def summed_days(self) -> dict[date, dict[str, int]]:
        """Tokens by class of each day that is known as a sum only."""
        days = {row["usage_date"] for row in self.demand if row["evidence"] == "daily"}
        found: dict[date, dict[str, int]] = {day: {} for day in sorted(days)}
        for row in self.demand:
            if row["usage_date"] in days:
                tokens = found[row["usage_date"]]
                tokens[row["token_class"]] = tokens.get(row["token_class"], 0) + int(row["tokens"] or 0)
        return found

    def hourly_tokens(self) -> list[tuple[datetime, Mapping[str, int]]]:
        """Every hour of the settled days whose hours are known; an hour nothing metered had no demand."""
        known: dict[datetime, dict[str, int]] = {}
        for row in self.hours:
            known.setdefault(row["usage_hour_at"], {})[row["token_class"]] = int(row["tokens"] or 0)
        summed = self.summed_days()
        known_days = [day for day in self.days if day not in summed]
        hours = [datetime(day.year, day.month, day.day, hour) for day in known_days for hour in range(24)]  # noqa: DTZ001
        return [(hour, known.get(hour, {})) for hour in hours]


def commitment_period_days(contract: Record, day: date) -> int:
    """The days of the commitment period, counted from the contract's first day, that holds a day."""
    months = {"month": 1, "quarter": 3, "year": 12}[contract["commitment_period"]]
    agreed = contract["agreed_from_date"]

    def begins(number: int) -> date:
        month = agreed.month - 1 + number * months
        year = agreed.year + month // 12
        last = monthrange(year, month % 12 + 1)[1]
        return date(year, month % 12 + 1, min(agreed.day, last))

    number = 0
    while begins(number + 1) <= day:
        number += 1
    while begins(number) > day:
        number -= 1
    return (begins(number + 1) - begins(number)).days


def days_in_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def read_inputs(evidence: Evidence, row: Record) -> VerdictInputs:
    """The inputs of one published verdict, by the rules that its node states."""
    named = {"workload": row["workload"], "deployment": row["deployment_id"], "usage_date": row["usage_date"]}
    days = [found["usage_date"] for found in evidence.ask("verdict_days", **named)]

    def ask(name: str) -> list[Record]:
        return evidence.ask(name, days=days, **named)

    deployments = ask("verdict_deployment")
    candidates = ask("verdict_candidate")
    return VerdictInputs(
        row=row,
        days=days,
        demand=ask("verdict_demand"),
        hours=ask("verdict_hours"),
        billed=ask("verdict_api_costs"),
        listed=ask("verdict_api_prices"),
        gpu=ask("verdict_gpu_costs"),
        served=ask("verdict_served"),
        deployment=deployments[-1] if deployments else None,
        candidate=candidates[-1] if candidates else None,
        overheads=ask("verdict_overheads"),
        rates=ask("verdict_rates"),
        unconverted=ask("verdict_unconverted"),
        repriced=ask("verdict_repriced"),
        commitments=ask("verdict_commitment"),
    )
