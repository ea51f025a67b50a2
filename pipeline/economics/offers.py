"""Offers side by side: reservations, spot, purchases, API commitments, each at its own best count of replicas.

What is bought is bought once, for the path that is expected; then every path that traffic may take is paid with it. The
regret of an offer on a path is what it costs there beyond the offer that would have been best. Source: economics.md 2,
4 and 8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pipeline.economics.exact import Exact, not_negative, positive, to_decimal, whole_count
from pipeline.economics.load_curve import LoadCurve, load_curve


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What an offer costs, in one currency.

    replica_month: one replica's accrued cost of a month. replicas: how many, None to take the best count.
    paid_first: of the accrued cost of `months` months, the share that is paid at once; the rest is paid month by month.
    bought_for, residual: hardware's price, paid at once, and what it brings at the end of `months`; replica_month is
        then what each replica costs beside it. A purchase says its replicas.
    api_discount: off the API's price; api_commitment_month: of the API, due each month however little is used.
    months: for how long it binds; 0 is not at all.
    """

    replica_month: Exact = 0
    replicas: int | None = None
    paid_first: Exact = 0
    bought_for: Exact = 0
    residual: Exact = 0
    api_discount: Exact = 0
    api_commitment_month: Exact = 0
    months: int = 0


@dataclass(frozen=True, kw_only=True)
class Costed:
    """An offer over the horizon.

    accrued: by path, what it costs over the horizon, hardware written off evenly over its months. cash: by path, what
    is paid within the horizon, what hardware brings back counted where its months end within it. first_payment: paid
    at once. regret: by path. bound_after: what is still due after the horizon if nothing of it is used.
    """

    name: str
    replicas: int
    accrued: Mapping[str, Decimal]
    cash: Mapping[str, Decimal]
    first_payment: Decimal
    regret: Mapping[str, Decimal]
    bound_after: Decimal


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """A month of hourly demand, in any unit, and what meets it.

    paths: by name, traffic of each month of the horizon as times this month's. `expected` is the path that counts of
    replicas are chosen for. fixed_month: overheads with at least one replica.
    """

    hourly_demand: Sequence[Exact]
    capacity_per_replica_hour: Exact
    price_per_unit: Exact
    fixed_month: Exact
    paths: Mapping[str, Sequence[Exact]]
    expected: str = "expected"
    committed_month: Exact = 0


def compare_offers(offers: Mapping[str, Terms], traffic: Traffic) -> tuple[Costed, ...]:
    """Every offer, cheapest on the expected path first; a tie keeps their order.

    Raises ValueError for no offer, no month, paths of different lengths, or a number out of its range.
    """
    if not offers:
        raise ValueError("There is no offer to compare.")
    horizons = {len(path) for path in traffic.paths.values()}
    if traffic.expected not in traffic.paths or len(horizons) != 1 or 0 in horizons:
        raise ValueError(f"The paths have {sorted(horizons)} months and {traffic.expected!r} must be one of them.")
    months = _months(traffic)
    horizon = horizons.pop()
    costs = {name: _Offer(name, terms, traffic, horizon) for name, terms in offers.items()}
    chosen = {name: offer.best_count(months[traffic.expected]) for name, offer in costs.items()}
    accrued = {
        name: {path: offer.accrued(chosen[name], months[path]) for path in traffic.paths}
        for name, offer in costs.items()
    }
    least = {path: min(of_offer[path] for of_offer in accrued.values()) for path in traffic.paths}
    found = [
        Costed(
            name=name,
            replicas=chosen[name],
            accrued={path: to_decimal(cost) for path, cost in accrued[name].items()},
            cash={path: to_decimal(offer.cash(chosen[name], months[path])) for path in traffic.paths},
            first_payment=to_decimal(offer.first_payment(chosen[name])),
            regret={path: to_decimal(cost - least[path]) for path, cost in accrued[name].items()},
            bound_after=to_decimal(offer.bound_after(chosen[name])),
        )
        for name, offer in costs.items()
    ]
    return tuple(sorted(found, key=lambda one: one.accrued[traffic.expected]))


def _months(traffic: Traffic) -> dict[str, list[LoadCurve]]:
    """The load curve of every month of every path; months of one size share theirs."""
    capacity = positive(traffic.capacity_per_replica_hour, "capacity_per_replica_hour")
    hours = [not_negative(hour, "hourly_demand") for hour in traffic.hourly_demand]
    curves: dict[Fraction, LoadCurve] = {}
    for path in traffic.paths.values():
        for times in path:
            size = not_negative(times, "times of a path")
            if size not in curves:
                curves[size] = load_curve([hour * size for hour in hours], capacity)
    return {name: [curves[Fraction(times)] for times in path] for name, path in traffic.paths.items()}


@dataclass(frozen=True)
class _Offer:
    name: str
    terms: Terms
    traffic: Traffic
    horizon: int

    def __post_init__(self) -> None:
        for field in ("replica_month", "bought_for", "residual", "api_commitment_month"):
            not_negative(getattr(self.terms, field), f"{field} of {self.name}")
        for field in ("paid_first", "api_discount"):
            if not_negative(getattr(self.terms, field), f"{field} of {self.name}") > 1:
                raise ValueError(f"{field} of {self.name} is {getattr(self.terms, field)}: it is a share, at most 1.")
        whole_count(self.terms.months, f"months of {self.name}")
        if Fraction(self.terms.bought_for) and (self.terms.replicas is None or not self.terms.months):
            raise ValueError(f"{self.name} is bought: say how many replicas it makes and for how many months.")
        if Fraction(self.terms.residual) > Fraction(self.terms.bought_for):
            raise ValueError(
                f"residual of {self.name} is {self.terms.residual}, more than the {self.terms.bought_for} it is bought "
                "for."
            )

    @property
    def price(self) -> Fraction:
        return Fraction(self.traffic.price_per_unit) * (1 - Fraction(self.terms.api_discount))

    @property
    def _committed(self) -> Fraction:
        return max(Fraction(self.terms.api_commitment_month), Fraction(self.traffic.committed_month))

    @property
    def written_off_month(self) -> Fraction:
        if not self.terms.months:
            return Fraction(0)
        return (Fraction(self.terms.bought_for) - Fraction(self.terms.residual)) / self.terms.months

    def _api(self, replicas: int, month: LoadCurve) -> Fraction:
        return max(self._committed, self.price * month.overflow(replicas))

    def _gpus_month(self, replicas: int) -> Fraction:
        fixed = Fraction(self.traffic.fixed_month) if replicas else Fraction(0)
        return replicas * Fraction(self.terms.replica_month) + fixed

    def accrued(self, replicas: int, path: Sequence[LoadCurve]) -> Fraction:
        of_gpus = len(path) * (self._gpus_month(replicas) + self.written_off_month)
        return of_gpus + sum((self._api(replicas, month) for month in path), Fraction(0))

    def best_count(self, path: Sequence[LoadCurve]) -> int:
        """As many as were said, else the count that costs least on this path; a tie takes fewer."""
        if self.terms.replicas is not None:
            return whole_count(self.terms.replicas, f"replicas of {self.name}")
        most = max(month.most_replicas(None) for month in path)
        return min(range(most + 1), key=lambda count: (self.accrued(count, path), count))

    def _paid_first(self, replicas: int) -> Fraction:
        """Of what is due for the months it binds, the part that is paid at once."""
        due = replicas * Fraction(self.terms.replica_month) * self.terms.months
        return due * Fraction(self.terms.paid_first)

    def first_payment(self, replicas: int) -> Fraction:
        return Fraction(self.terms.bought_for) + self._paid_first(replicas)

    def cash(self, replicas: int, path: Sequence[LoadCurve]) -> Fraction:
        """Paid within the horizon: at once, then month by month. What binds for less is taken anew on its terms."""
        months, terms = len(path), self.terms
        paid = sum((self._api(replicas, month) for month in path), Fraction(0)) + months * self._gpus_month(replicas)
        if terms.months:
            times = -(-months // terms.months)
            paid += times * self.first_payment(replicas)
            paid -= months * replicas * Fraction(terms.replica_month) * Fraction(terms.paid_first)
            paid -= (months // terms.months) * Fraction(terms.residual)
        return paid

    def bound_after(self, replicas: int) -> Fraction:
        """What of it falls due after the horizon: rent and commitments not paid yet, of the months it still binds."""
        terms = self.terms
        if not terms.months:
            return Fraction(0)
        left = -(-self.horizon // terms.months) * terms.months - self.horizon
        rent = replicas * Fraction(terms.replica_month) * (1 - Fraction(terms.paid_first))
        return left * (rent + Fraction(terms.api_commitment_month))
