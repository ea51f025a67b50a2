"""A bill with its taxes on what was taxed: each tax line shared by what the lines that it taxes cost.

In every other table a tax is a charge of its own. Here it goes, whole, to the resources of its account's invoice that
were charged for the same service and meter; where nothing of these was charged, to those of the service, then to those
of the invoice. What still has nothing above zero to go by stays on no resource, and is not lost.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipeline.economics.accrual import rounded_once

# A tax that is not whole in its currency's smallest coin is shared to the last digit that a bill can hold.
_FINEST = 18


@dataclass(frozen=True)
class Charge:
    """What a bill charges; a tax is one too, with its own amount. `bill`: the invoice, or the month of what is on none
    yet. `resource_id` None: for none that it names.
    """

    account: str
    bill: str
    currency: str
    service: str | None
    meter: str | None
    resource_id: str | None
    amount: Fraction


@dataclass(frozen=True)
class Loaded:
    """What a resource was charged in a currency, and which taxes are on that."""

    account: str
    currency: str
    resource_id: str | None
    charged: Fraction
    tax: Fraction


def loaded(charges: Iterable[Charge], taxes: Iterable[Charge], *, digits: Callable[[str], int]) -> list[Loaded]:
    """One row an account, currency and resource, ordered; charges and taxes are both there whole.

    `digits`: after the point of a currency's smallest coin. A tax in whole coins is shared in whole coins.
    """
    own = list(charges)
    sums: dict[tuple[str, str, str | None], list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
    bases = _bases(own)
    for one in own:
        sums[one.account, one.currency, one.resource_id][0] += one.amount
    for tax in taxes:
        nobody: dict[str | None, Fraction] = {None: Fraction(1)}
        base = next((bases[key] for key in _keys(tax) if bases.get(key)), nobody)
        names = sorted(base, key=lambda name: (name is None, name or ""))
        for name, part in zip(names, _shared(tax, [base[name] for name in names], digits), strict=True):
            sums[tax.account, tax.currency, name][1] += part
    return [
        Loaded(*key, charged, tax)
        for key, (charged, tax) in sorted(
            sums.items(), key=lambda item: (*item[0][:2], item[0][2] is None, item[0][2] or "")
        )
    ]


def _keys(one: Charge) -> Sequence[tuple[str | None, ...]]:
    """The lines that a tax may be on, the narrowest first."""
    of = (one.account, one.currency, one.bill)
    return (*of, one.service, one.meter), (*of, one.service), of


def _bases(charges: Sequence[Charge]) -> dict[tuple[str | None, ...], dict[str | None, Fraction]]:
    """What each resource was charged above zero, of the same service and meter, of the service, of the invoice."""
    found: dict[tuple[str | None, ...], dict[str | None, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for one in charges:
        for key in _keys(one):
            found[key][one.resource_id] += one.amount
    return {key: {name: cost for name, cost in costs.items() if cost > 0} for key, costs in found.items()}


def _shared(tax: Charge, weights: Sequence[Fraction], digits: Callable[[str], int]) -> list[Fraction]:
    """Largest remainder, a tax that was given back as the mirror of one that was charged."""
    coin = digits(tax.currency)
    places = coin if (tax.amount * 10**coin).denominator == 1 else _FINEST
    whole = sum(weights, Fraction(0))
    sign = -1 if tax.amount < 0 else 1
    parts = rounded_once([abs(tax.amount) * weight / whole for weight in weights], digits=places)
    return [Fraction(sign * part, 10**places) for part in parts]
