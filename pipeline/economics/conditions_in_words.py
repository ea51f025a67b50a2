"""Conditions as sentences a person can act on, every number rounded to the side that pays."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.economics.conditions import PLACES, Conditions, Quantity, Threshold
from pipeline.economics.exact import Exact, money_text


@dataclass(frozen=True)
class _Wording:
    """`need`: what has to be so, with {value}. `best`: what the quantity is taken to be where another one is solved."""

    need: str
    best: str
    places: int
    is_money: bool = False


_WORDINGS: Mapping[Quantity, _Wording] = {
    "tokens_per_second": _Wording("one {replica} sustains at least {value} tokens/s at this mix", "{throughput}", 0),
    "self_tokens_per_api_token": _Wording(
        "a task takes at most {value} tokens for each token of the API", "as many tokens a task as the API", 2
    ),
    "gpu_hour_rate": _Wording("a GPU-hour costs at most {value}", "GPUs for nothing", 2, is_money=True),
    "gpus_per_replica": _Wording("a replica takes at most {value} GPUs", "one GPU a replica", 0),
    "replica_hour_cost": _Wording(
        "the GPUs of a replica cost at most {value} an hour", "GPUs for nothing", 2, is_money=True
    ),
    "engineering_hours_per_month": _Wording(
        "engineering takes at most {value} hours a month", "no hour of engineering", 1
    ),
    "fixed_cost_per_month": _Wording(
        "whatever else it needs costs at most {value} a month", "no fixed cost", 2, is_money=True
    ),
}


def in_words(found: Conditions, *, currency: str = "", replica: str = "replica") -> str:
    """One or two sentences. `currency` stands before money; `replica` says what one is, such as `2xH100 replica`.

    "If and only if" is said where one quantity is unknown. Of several, each threshold is necessary, and what the
    others are taken to be meanwhile is said.
    """
    words = _Words(found=found, currency=currency, replica=replica)
    if found.pays is False:
        return f"Self-hosting does not pay: {words.why_not()}."
    if found.pays is True:
        count = f"{found.replica_count} replica{'s' if found.replica_count > 1 else ''}"
        return f"Self-hosting pays: {count} would save {words.money(found.saving_per_month)} a month."
    opened = [threshold for threshold in found.thresholds if threshold.kind == "open"]
    if not opened:
        return "Self-hosting pays whatever is unknown."
    needs = _listed([words.need(threshold) for threshold in opened], "and")
    if len(found.unknown) == 1:
        return f"Self-hosting pays if and only if {needs}."
    rest = _listed([words.best(quantity) for quantity in found.unknown], "and")
    return f"Self-hosting pays only if {needs}. Each is with the rest at its best: {rest}."


@dataclass(frozen=True, kw_only=True)
class _Words:
    found: Conditions
    currency: str
    replica: str

    def money(self, amount: Exact) -> str:
        return f"{self.currency} {money_text(Fraction(amount))}".strip()

    def need(self, threshold: Threshold) -> str:
        wording = _WORDINGS[threshold.quantity]
        assert threshold.value is not None
        places = min(PLACES[threshold.quantity], max(wording.places, _places_of_three_digits(threshold.value)))
        value = _rounded(threshold.value, places, up=threshold.sense == "at_least")
        shown = f"{self.currency} {value}".strip() if wording.is_money else value
        text = wording.need.format(value=shown, replica=self.replica)
        return text if threshold.ceiling is None else f"{text} (roofline {_rounded(threshold.ceiling, 0, up=False)})"

    def best(self, quantity: Quantity) -> str:
        peak = _rounded(self.found.peak_tokens_per_second, 0, up=True)
        ceiling = dict(self.found.held).get("tokens_per_second")
        throughput = "a throughput at the roofline" if ceiling else f"a replica that serves the peak of {peak} tokens/s"
        return _WORDINGS[quantity].best.format(throughput=throughput)

    def why_not(self) -> str:
        """The loss left with everything unknown at its best, what is physically out of reach, what would change it."""
        parts = []
        if self.found.saving_per_month < 0:
            rest = _listed([self.best(quantity) for quantity in self.found.unknown], "and")
            parts.append(
                f"{f'even with {rest} ' if rest else ''}it costs {self.money(-self.found.saving_per_month)} a month "
                "more than the API"
            )
        parts += [text for text in map(self._out_of_reach, self.found.thresholds) if text]
        missed = [threshold for threshold in self.found.thresholds if threshold.kind == "missed"]
        if missed:
            helps = [f"{self.need(found)} ({self._stated(found)} is declared)" for found in missed]
            parts.append(f"it {'could' if self.found.unknown else 'would'} if {_listed(helps, 'or')}")
        return "; ".join(parts)

    def _stated(self, threshold: Threshold) -> str:
        assert threshold.stated is not None
        return self.money(threshold.stated) if _WORDINGS[threshold.quantity].is_money else f"{threshold.stated}"

    def _out_of_reach(self, threshold: Threshold) -> str | None:
        if threshold.ceiling is None:
            return None
        roofline = _rounded(threshold.ceiling, 0, up=False)
        if threshold.stated is not None and Fraction(threshold.stated) > Fraction(threshold.ceiling):
            stated = _rounded(threshold.stated, 0, up=False)
            return f"{stated} tokens/s are declared, and the roofline of one {self.replica} is {roofline}"
        if threshold.kind == "impossible" and threshold.value is not None:
            needed = _rounded(threshold.value, 0, up=True)
            return f"one {self.replica} would have to sustain {needed} tokens/s, and its roofline is {roofline}"
        return None


def _places_of_three_digits(value: Decimal) -> int:
    """Rounded to the side that pays, fewer digits than three would ask for a lot more than the threshold."""
    return max(0, 2 - value.adjusted()) if value else 0


def _rounded(value: Exact, places: int, *, up: bool) -> str:
    scaled = Fraction(value) * 10**places
    whole = math.ceil(scaled) if up else math.floor(scaled)
    return f"{Decimal(whole).scaleb(-places):,f}"


def _listed(parts: Sequence[str], last: str) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}" if parts else ""
