"""Break-even volumes against exact evaluation of both costs, and against published figures."""

import itertools
import math
import time
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.economics.breakeven import (
    BreakevenVolumes,
    Staircase,
    breakeven_spend,
    breakeven_volumes,
)

MOST_SCANNED_STAIRS = 40
TINY = Fraction(1, 10**12)
ROUNDING = Fraction(1, 10**40)  # crossings are Decimals of 60 digits


def exact(value: Decimal | int) -> Fraction:
    return Fraction(value)


def saving(staircase: Staircase, volume: Fraction) -> Fraction:
    """D(v) from economics.md 3, written out again."""
    replicas = max(staircase.minimum_replicas, math.ceil(volume / exact(staircase.capacity_tokens)))
    api = max(exact(staircase.api_commitment), exact(staircase.price_per_token) * volume)
    rent = (replicas + staircase.spare_replicas) * exact(staircase.replica_cost)
    fixed = exact(staircase.fixed_cost)
    return api - exact(staircase.friction) * (fixed + rent) - exact(staircase.variable_cost_per_token) * volume


def predicted_side(result: BreakevenVolumes, volume: Fraction) -> str:
    """What the crossings say of a volume: a crossing to self-host holds at its volume, one to the API above it."""
    side = "self_host" if result.starts_self_host else "api"
    for crossing in result.crossings:
        at = exact(crossing.volume)
        if at < volume or (at == volume and crossing.direction == "to_self_host"):
            side = crossing.direction.removeprefix("to_")
    return side


def listed(result: BreakevenVolumes) -> list[tuple[object, ...]]:
    return [(crossing.volume, crossing.kind, crossing.direction) for crossing in result.crossings]


def is_indistinct(result: BreakevenVolumes, volume: Fraction) -> bool:
    return any(0 < abs(exact(crossing.volume) - volume) < ROUNDING for crossing in result.crossings)


def scanned_volumes(staircase: Staircase) -> list[Fraction]:
    """Every edge, just above every edge, the commitment's end, and points in between.

    D is linear between edges and the commitment's end, so a sign that is right at these is right everywhere
    once each root is shown to be a root.
    """
    capacity = exact(staircase.capacity_tokens)
    volumes = [TINY]
    for stair in range(MOST_SCANNED_STAIRS):
        edge = stair * capacity
        volumes += [edge + TINY, *(edge + capacity * Fraction(part, 5) for part in range(1, 6))]
    if staircase.price_per_token:
        kink = exact(staircase.api_commitment) / exact(staircase.price_per_token)
        volumes += [kink, kink + TINY]
    return [volume for volume in volumes if volume > 0]


money = st.integers(0, 60).map(lambda tenths: Decimal(tenths) / 10)
staircases = st.builds(
    Staircase,
    price_per_token=st.integers(0, 40).map(lambda tenths: Decimal(tenths) / 10),
    variable_cost_per_token=st.one_of(st.just(Decimal(0)), st.integers(0, 20).map(lambda tenths: Decimal(tenths) / 10)),
    capacity_tokens=st.integers(1, 30).map(lambda tenths: Decimal(tenths) / 10),
    replica_cost=money,
    fixed_cost=money,
    api_commitment=st.one_of(st.just(Decimal(0)), st.integers(0, 400).map(lambda tenths: Decimal(tenths) / 10)),
    friction=st.sampled_from([Decimal(1), Decimal("1.5")]),
    spare_replicas=st.integers(0, 2),
    minimum_replicas=st.integers(0, 4),
)


@settings(max_examples=400, deadline=None)
@given(staircase=staircases)
def test_the_crossings_name_the_cheaper_lane_at_every_scanned_volume(staircase: Staircase) -> None:
    result = breakeven_volumes(staircase)
    for volume in scanned_volumes(staircase):
        if is_indistinct(result, volume):
            continue
        truth = "self_host" if saving(staircase, volume) >= 0 else "api"
        assert predicted_side(result, volume) == truth, volume


@settings(max_examples=300, deadline=None)
@given(staircase=staircases)
def test_every_root_is_a_volume_of_equal_cost_and_every_jump_an_edge(staircase: Staircase) -> None:
    for crossing in breakeven_volumes(staircase, maximum_crossings=60).crossings:
        volume = exact(crossing.volume)
        if crossing.kind == "root":
            assert abs(saving(staircase, volume)) < ROUNDING * 10**6 * (1 + volume)
        else:
            assert crossing.direction == "to_api"
            assert (volume / exact(staircase.capacity_tokens)).denominator == 1
            assert saving(staircase, volume) >= 0
            assert saving(staircase, volume + TINY) <= 0


@settings(max_examples=300, deadline=None)
@given(staircase=staircases)
def test_the_crossings_alternate_and_rise(staircase: Staircase) -> None:
    result = breakeven_volumes(staircase, maximum_crossings=60)
    sides = [result.starts_self_host, *(c.direction == "to_self_host" for c in result.crossings)]
    assert all(before != after for before, after in itertools.pairwise(sides))
    volumes = [crossing.volume for crossing in result.crossings]
    assert volumes == sorted(volumes)


@settings(max_examples=300, deadline=None)
@given(staircase=staircases)
def test_first_and_stable_from_are_read_off_the_crossings(staircase: Staircase) -> None:
    result = breakeven_volumes(staircase, maximum_crossings=2000)
    climbs = [c.volume for c in result.crossings if c.direction == "to_self_host"]
    expected_first = Decimal(0) if result.starts_self_host else (climbs[0] if climbs else None)
    assert result.first == expected_first
    if result.is_complete:
        last = result.crossings[-1].direction if result.crossings else None
        ends_self_host = last == "to_self_host" if last else result.starts_self_host
        assert (result.stable_from is not None) == ends_self_host
        assert result.stable_from == ((climbs[-1] if last else Decimal(0)) if ends_self_host else None)


@settings(max_examples=300, deadline=None)
@given(staircase=staircases)
def test_with_a_positive_margin_it_is_stable_below_the_analytic_bound(staircase: Staircase) -> None:
    result = breakeven_volumes(staircase, maximum_crossings=5000)
    margin = exact(result.full_replica_margin)
    if margin <= 0:
        return
    friction = exact(staircase.friction)
    overhead = friction * (exact(staircase.fixed_cost) + (staircase.spare_replicas + 1) * exact(staircase.replica_cost))
    last_stair = max(math.ceil(overhead / margin) + 1, staircase.minimum_replicas)
    assert result.stable_from is not None
    assert exact(result.stable_from) <= exact(staircase.capacity_tokens) * last_stair


@settings(max_examples=300, deadline=None)
@given(staircase=staircases)
def test_without_a_margin_an_overhead_and_no_commitment_leave_no_crossing(staircase: Staircase) -> None:
    result = breakeven_volumes(staircase, maximum_crossings=60)
    overhead = staircase.fixed_cost + staircase.spare_replicas * staircase.replica_cost
    if result.full_replica_margin <= 0 < staircase.replica_cost:
        assert result.stable_from is None
        assert result.reason is not None
        if overhead > 0 and staircase.api_commitment == 0:
            assert (result.crossings, result.first) == ((), None)


@settings(max_examples=200, deadline=None)
@given(staircase=staircases)
def test_cutting_the_list_changes_neither_the_first_nor_the_stable_volume(staircase: Staircase) -> None:
    whole, cut = (
        breakeven_volumes(staircase, maximum_crossings=5000),
        breakeven_volumes(staircase, maximum_crossings=4),
    )
    assert cut.crossings == whole.crossings[:4]
    assert cut.is_complete == (len(whole.crossings) <= 4)
    assert (cut.first, cut.stable_from, cut.reason) == (whole.first, whole.stable_from, whole.reason)


def many_crossings() -> Staircase:
    """Each full replica saves 0.1 beyond a rent of 10, against 10 of overhead: about 200 crossings."""
    return Staircase(price_per_token=Decimal("10.1"), capacity_tokens=1, replica_cost=10, fixed_cost=10)


def test_a_list_cut_short_says_so_and_still_knows_where_it_is_stable() -> None:
    whole, cut = (
        breakeven_volumes(many_crossings()),
        breakeven_volumes(many_crossings(), maximum_crossings=10),
    )
    assert len(whole.crossings) == 201
    assert (whole.is_complete, cut.is_complete, len(cut.crossings)) == (True, False, 10)
    assert cut.stable_from == whole.stable_from == whole.crossings[-1].volume


def test_a_margin_close_to_nothing_does_not_walk_a_million_stairs() -> None:
    thin = Staircase(price_per_token=Decimal("1.000000000001"), capacity_tokens=1, replica_cost=1, fixed_cost=0)
    result = breakeven_volumes(thin)
    assert not result.is_complete
    assert result.stable_from is not None
    assert saving(thin, exact(result.stable_from) + 1) >= 0
    assert math.ceil(result.stable_from) == 10**12


def _staircase(crossings: int) -> Staircase:
    """Each full replica saves 20 / crossings beyond a rent of 10, against 10 of overhead: the side turns twice a
    stair.
    """
    price = 10 + Decimal(20) / crossings
    return Staircase(price_per_token=price, capacity_tokens=1, replica_cost=10, fixed_cost=10)


def test_ten_times_the_stairs_take_about_ten_times_as_long() -> None:
    """As a ratio, the best of three: a machine may be slow. In squares it would be a hundred."""

    def took(crossings: int) -> float:
        started = time.process_time()
        found = breakeven_volumes(_staircase(crossings), maximum_crossings=1_000_000)
        assert len(found.crossings) == crossings + 1
        return time.process_time() - started

    few, many = (min(took(crossings) for _ in range(3)) for crossings in (4_000, 40_000))
    assert many < 30 * few


def test_of_ten_thousand_stairs_a_thousand_crossings_are_listed_and_the_last_is_known() -> None:
    listed_only = breakeven_volumes(_staircase(10_000))
    whole = breakeven_volumes(_staircase(10_000), maximum_crossings=100_000)
    assert (len(listed_only.crossings), len(whole.crossings)) == (1000, 10_001)
    assert listed_only.stable_from == whole.stable_from == whole.crossings[-1].volume


def test_fewer_than_four_listed_crossings_are_refused() -> None:
    with pytest.raises(ValueError, match="maximum_crossings is 3"):
        breakeven_volumes(many_crossings(), maximum_crossings=3)


def published(price: str, variable: str, capacity_mtok: str, rent: str, fixed: str) -> Staircase:
    """Figures a month, in units of 1M tokens."""
    return Staircase(
        price_per_token=Decimal(price),
        variable_cost_per_token=Decimal(variable),
        capacity_tokens=Decimal(capacity_mtok),
        replica_cost=Decimal(rent),
        fixed_cost=Decimal(fixed),
    )


@pytest.mark.parametrize(
    ("price", "capacity_mtok", "rent", "fixed", "claimed_mtok", "displaced"),
    [
        ("0.60", "2500", "3586", "500", 6810, "1,500.00 of API cost for 3,586.00 of rent"),
        ("0.33", "1555.2", "713", "150", 2615, "513.22 of API cost for 713.00 of rent"),
    ],
)
def test_a_full_node_that_displaces_less_than_its_rent_never_breaks_even(
    price: str, capacity_mtok: str, rent: str, fixed: str, claimed_mtok: int, displaced: str
) -> None:
    """Economics.md 0, finding 1: the published 6.8B and 2.6B tokens a month exist at no volume (B26)."""
    result = breakeven_volumes(published(price, "0", capacity_mtok, rent, fixed))
    assert (result.crossings, result.first, result.stable_from) == ((), None, None)
    assert result.full_replica_margin < 0
    assert result.breakeven_utilization is not None
    assert result.breakeven_utilization > 1
    assert result.reason is not None
    assert displaced in result.reason
    full = Decimal(rent) / (Decimal(price) * Decimal(capacity_mtok)) * 100
    assert f"it would have to be {full:.1f}% full, which is impossible" in result.reason
    # The arithmetic that was published: one node, however full.
    one_node = (Decimal(rent) + Decimal(fixed)) / Decimal(price)
    assert round(one_node) == claimed_mtok
    assert one_node > Decimal(capacity_mtok)


def test_one_published_staircase_crosses_three_times_below_two_full_replicas() -> None:
    """seed_cases.csv S003-015, "they cross at one point"."""
    result = breakeven_volumes(published("0.00125", "0", "1300000", "1440", "0"))
    assert listed(result)[:3] == [
        (1_152_000, "root", "to_self_host"),
        (1_300_000, "jump", "to_api"),
        (2_304_000, "root", "to_self_host"),
    ]
    assert result.crossings[3].volume == 2_600_000
    assert result.first == 1_152_000
    # m = 1,625 - 1,440 = 185 a full replica; 1,440 / 185 = 7.8, so the eighth edge no longer falls behind.
    assert result.full_replica_margin == 185
    assert result.stable_from == 8 * 1440 / Decimal("0.00125")


def test_at_the_edge_the_last_replica_is_full_and_the_next_is_not_yet_due() -> None:
    staircase = published("1", "0", "10", "10", "0")
    assert (staircase.replicas(10), staircase.replicas(Decimal("10.000001"))) == (1, 2)


def test_equal_cost_counts_as_self_host_even_at_a_single_volume() -> None:
    """A full replica displaces exactly its rent: equal at every edge, behind in between, without end."""
    result = breakeven_volumes(published("1", "0", "10", "10", "0"), maximum_crossings=6)
    assert listed(result) == [
        crossing for edge in (10, 20, 30) for crossing in ((edge, "root", "to_self_host"), (edge, "jump", "to_api"))
    ]
    assert result.first == 10
    assert (result.stable_from, result.is_complete) == (None, False)
    assert result.reason is not None
    assert "never the cheaper lane for good" in result.reason


def test_a_commitment_makes_self_hosting_cheaper_until_the_replicas_outgrow_it() -> None:
    """K = 100 pays for itself below 100 tokens; ten tokens a replica at 30 each outgrow it on the fourth."""
    result = breakeven_volumes(
        Staircase(price_per_token=1, capacity_tokens=10, replica_cost=30, fixed_cost=5, api_commitment=100)
    )
    assert result.starts_self_host
    assert listed(result) == [(30, "jump", "to_api")]
    assert result.first == 0
    assert result.stable_from is None
    assert result.reason is not None
    assert "never the cheaper lane for good" in result.reason


def test_inside_a_commitment_energy_alone_can_end_the_advantage() -> None:
    """D = 100 - 40 - 2 v is 0 at 30, inside the first stair: a root, not a jump."""
    result = breakeven_volumes(
        Staircase(
            price_per_token=Decimal("0.5"),
            variable_cost_per_token=2,
            capacity_tokens=1000,
            replica_cost=40,
            fixed_cost=0,
            api_commitment=100,
        )
    )
    assert listed(result) == [(30, "root", "to_api")]
    assert result.breakeven_utilization is None


def test_touching_equal_cost_where_the_commitment_ends_is_no_crossing() -> None:
    """D falls from 50 by 1 a token, is 0 at 100 / 2 = 50, and rises by 1 a token from there."""
    result = breakeven_volumes(
        Staircase(
            price_per_token=2,
            variable_cost_per_token=1,
            capacity_tokens=1000,
            replica_cost=50,
            fixed_cost=0,
            api_commitment=100,
        )
    )
    assert result.crossings == ()
    assert result.first == result.stable_from == 0


def test_a_fall_that_reaches_equal_cost_at_an_edge_ends_there_by_a_jump() -> None:
    """D = 100 - 90 - v is 0 at the edge 10, where self-hosting still counts; the next replica ends it."""
    result = breakeven_volumes(
        Staircase(
            price_per_token=5,
            variable_cost_per_token=1,
            capacity_tokens=10,
            replica_cost=90,
            fixed_cost=0,
            api_commitment=100,
        )
    )
    assert listed(result) == [(10, "jump", "to_api")]


def test_an_overhead_that_takes_a_million_million_replicas_to_earn_is_not_walked_to() -> None:
    thin = Staircase(price_per_token=Decimal("1.000000000001"), capacity_tokens=1, replica_cost=1, fixed_cost=1)
    result = breakeven_volumes(thin)
    assert result.first is not None
    assert math.ceil(result.first) == 10**12
    assert math.ceil(result.stable_from or 0) == 2 * 10**12


def test_a_token_that_costs_what_it_displaces_has_no_breakeven_utilization() -> None:
    result = breakeven_volumes(published("0.000002", "0.000002", "10", "1", "0"))
    assert result.breakeven_utilization is None
    assert result.reason is not None
    assert "1M tokens displace 2.00 of API cost and cost 2.00 to serve" in result.reason


def test_free_replicas_without_overhead_are_cheaper_from_the_first_token() -> None:
    result = breakeven_volumes(published("1", "0", "10", "0", "0"))
    assert result.crossings == ()
    assert result.first == result.stable_from == 0
    assert result.reason is not None
    assert "at every volume" in result.reason


def test_spare_replicas_and_friction_are_paid_on_every_stair() -> None:
    staircase = Staircase(
        price_per_token=1,
        capacity_tokens=10,
        replica_cost=4,
        fixed_cost=2,
        friction=Decimal("1.5"),
        spare_replicas=1,
        minimum_replicas=2,
    )
    # 1.5 x (2 + (2 + 1) x 4) = 21 on the first stair, which ends at 20: not reached. The third costs 27.
    assert [staircase.self_host_cost(volume) for volume in (1, 20, 21)] == [Decimal(cost) for cost in (21, 21, 27)]
    result = breakeven_volumes(staircase)
    assert result.first == 27
    assert result.stable_from == 33
    assert listed(result) == [(27, "root", "to_self_host"), (30, "jump", "to_api"), (33, "root", "to_self_host")]
    assert result.full_replica_margin == 4
    assert result.breakeven_utilization == Decimal("0.6")


def test_breakeven_spend_multiplies_friction_and_kappa_and_divides_by_the_movable_share() -> None:
    """seed_cases.csv S001-025: 8,900 x 1.5 = 13,350; then 20% more tokens and half the traffic."""
    plain = breakeven_spend(self_host_cost=8900, friction=Decimal("1.5"), self_tokens_per_api_token=1, movable_share=1)
    assert plain == 13350
    adjusted = breakeven_spend(
        self_host_cost=8900,
        friction=Decimal("1.5"),
        self_tokens_per_api_token=Decimal("1.2"),
        movable_share=Decimal("0.5"),
    )
    assert adjusted == 32040


@pytest.mark.parametrize("share", [Decimal(0), Decimal("1.01")])
def test_a_movable_share_outside_zero_to_one_is_refused(share: Decimal) -> None:
    with pytest.raises(ValueError, match="movable_share"):
        breakeven_spend(self_host_cost=1, friction=1, self_tokens_per_api_token=1, movable_share=share)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price_per_token", Decimal(-1)),
        ("price_per_token", 0.5),
        ("price_per_token", Decimal("NaN")),
        ("capacity_tokens", 0),
        ("replica_cost", -1),
        ("fixed_cost", -1),
        ("variable_cost_per_token", -1),
        ("api_commitment", -1),
        ("friction", 0),
        ("spare_replicas", -1),
        ("minimum_replicas", -1),
        ("minimum_replicas", True),
    ],
)
def test_a_staircase_refuses_what_is_no_cost_naming_it(field: str, value: object) -> None:
    arguments: dict[str, object] = {
        "price_per_token": 1,
        "capacity_tokens": 1,
        "replica_cost": 1,
        "fixed_cost": 1,
    }
    with pytest.raises(ValueError, match=field):
        Staircase(**(arguments | {field: value}))  # type: ignore[arg-type]
