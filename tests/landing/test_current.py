"""Which delivery counts: the law, over random deliveries, against a brute-force reading of its words."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.landing.current import BucketKey, current_buckets, may_count, vouched_days
from pipeline.landing.dataset import Dataset, Table, datasets_by_name
from pipeline.landing.records import Delivery, LandedObject, digest
from pipeline.landing.times import DAY, day_start

BILL = Dataset(
    source="bills",
    name="bill",
    mode="replace",
    bucket="utc_day",
    measure="billed",
    tables=(Table(name="costs", columns={"amount": pl.String()}),),
    parse=lambda payload, settings: {},
)
FIRST = date(2026, 10, 1)


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=day, hours=hour)


def delivery(
    *,
    from_day: int,
    to_day: int,
    stated: datetime,
    landed: datetime | None = None,
    horizon: datetime | None = None,
    complete: bool = True,
    grouping: str = "",
    content: str = "x",
) -> Delivery:
    landed_object = LandedObject(
        sha256=digest(content.encode()), size_bytes=1, name="page", media_type="application/json"
    )
    return Delivery(
        source="bills",
        account="acme",
        dataset="bill",
        objects=(landed_object,),
        from_at=at(from_day),
        to_at=at(to_day),
        horizon_at=horizon,
        stated_at=stated,
        stated_by="http_date",
        landed_at=landed or stated,
        is_complete=complete,
        grouping=grouping,
    )


@st.composite
def deliveries(draw: st.DrawFn) -> list[Delivery]:
    found = []
    for number in range(draw(st.integers(1, 8))):
        from_day = draw(st.integers(0, 6))
        to_day = from_day + draw(st.integers(1, 5))
        stated = at(0, draw(st.integers(0, 24 * 12)))
        found.append(
            delivery(
                from_day=from_day,
                to_day=to_day,
                stated=stated,
                # A clock that is wrong by hours or by years, ours or theirs.
                landed=stated + timedelta(hours=draw(st.integers(-14, 100) | st.integers(-(10**5), 0))),
                horizon=draw(st.none() | st.integers(0, 6).map(at)),
                complete=draw(st.booleans() | st.just(True)),
                grouping=draw(st.sampled_from(["", "", "", "workspace"])),
                content=str(draw(st.integers(0, 3)) * 100 + number),
            )
        )
    return found


def brute_force(found: list[Delivery], day: date) -> Delivery | None:
    """House rules, word by word, for one day."""
    candidates = []
    for item in found:
        if not item.is_complete or item.grouping:
            continue
        said_at = said(item)
        start = max(item.from_at, item.horizon_at or item.from_at)
        end = min(item.to_at, said_at)
        whole = start <= day_start(day) and day_start(day) + DAY <= end
        is_open = day_start(day) < said_at < day_start(day) + DAY
        provisional = is_open and start <= day_start(day) and item.to_at > said_at
        if whole or provisional:
            candidates.append(item)
    return max(candidates, key=lambda item: (said(item), item.landed_at, item.delivery_id), default=None)


def said(item: Delivery) -> datetime:
    """What had come cannot have been said half a day later."""
    return item.landed_at if item.stated_at > item.landed_at + timedelta(hours=12) else item.stated_at


def chosen(found: list[Delivery]) -> dict[BucketKey, Delivery]:
    current, _ = current_buckets(found, datasets={("bills", "bill"): BILL}, rows_per_bucket={}, unreadable={})
    return {key: counted.delivery for key, counted in current.items()}


@given(deliveries())
@settings(max_examples=300, deadline=None)
def test_each_day_is_counted_from_the_delivery_that_was_stated_last(found):
    """B9, B10."""
    counted = chosen(found)
    for offset in range(14):
        day = FIRST + timedelta(days=offset)
        key = BucketKey("bills", "acme", "bill", day.isoformat())
        assert counted.get(key) == brute_force(found, day)


@given(deliveries(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_of_arrival_does_not_matter(found, shuffler: random.Random):
    shuffled = list(found)
    shuffler.shuffle(shuffled)
    assert chosen(found) == chosen(shuffled)


@given(deliveries())
@settings(max_examples=100, deadline=None)
def test_a_delivery_landed_twice_changes_nothing(found):
    again = [*found, *found]
    assert chosen(found) == chosen(again)


def test_trailing_pulls_and_a_month_pull_count_each_day_once():
    """The trap of house.md: seven-day trailing pulls plus one of the month. B9."""
    trailing = [
        delivery(from_day=max(0, day - 7), to_day=day, stated=at(day, 6), content=str(day)) for day in range(1, 31)
    ]
    month = delivery(from_day=0, to_day=30, stated=at(31, 6), content="month")
    counted = chosen([*trailing, month])
    assert len(counted) == 30
    assert all(item == month for item in counted.values())


def test_the_open_day_is_provisional_and_superseded_by_any_later_word():
    morning = delivery(from_day=0, to_day=3, stated=at(2, 9), content="morning")
    closed, open_day = vouched_days(morning)
    assert closed == [FIRST, FIRST + DAY]
    assert open_day == FIRST + 2 * DAY
    evening = delivery(from_day=2, to_day=3, stated=at(3, 1), content="evening")
    assert chosen([evening, morning])[BucketKey("bills", "acme", "bill", "2026-10-03")] == evening


def test_a_late_old_file_does_not_undo_a_restatement():
    """B10."""
    restated = delivery(from_day=0, to_day=1, stated=at(5), landed=at(5), content="new")
    late = delivery(from_day=0, to_day=1, stated=at(2), landed=at(9), content="old")
    assert list(chosen([restated, late]).values()) == [restated]


@pytest.mark.parametrize("hours", [13, 24 * 400, 24 * 365 * 1000])
def test_a_statement_from_the_future_is_not_the_newest_until_then(hours: int) -> None:
    """B10: a server whose clock was ahead once, and a name with a stamp of a year to come."""
    wrong = delivery(from_day=0, to_day=5, stated=at(9, hours), landed=at(9), content="100")
    right = delivery(from_day=0, to_day=5, stated=at(9, 1), content="200")
    again = delivery(from_day=0, to_day=5, stated=at(11, hours), landed=at(11), content="300")
    for found, last in (([wrong, right], right), ([right, wrong], right), ([again, wrong, right], again)):
        assert list(chosen(found).values()) == [last] * 5


def test_a_server_that_is_a_little_ahead_is_taken_at_its_word() -> None:
    """Clocks differ, and a run that lasts for hours lands as of its beginning."""
    earlier, later = (
        delivery(from_day=0, to_day=5, stated=at(9, hours), landed=at(9), content=f"{hours}") for hours in (3, 12)
    )
    assert list(chosen([later, earlier]).values()) == [later] * 5
    assert [one.said_at for one in (earlier, later)] == [at(9, 3), at(9, 12)]


def test_days_before_the_horizon_are_not_vouched_for_as_empty():
    """A provider that keeps 30 days answers an older window with nothing: that nothing is not a zero."""
    early = delivery(from_day=0, to_day=5, stated=at(6), content="full")
    later = delivery(from_day=0, to_day=5, stated=at(9), horizon=at(3), content="cut")
    counted = chosen([early, later])
    assert counted[BucketKey("bills", "acme", "bill", "2026-10-02")] == early
    assert counted[BucketKey("bills", "acme", "bill", "2026-10-04")] == later


def test_a_bucket_that_had_rows_and_has_none_is_withdrawn():
    full = delivery(from_day=0, to_day=1, stated=at(2), content="full")
    empty = delivery(from_day=0, to_day=1, stated=at(3), content="empty")
    rows = {full.delivery_id: {"2026-10-01": 3}, empty.delivery_id: {}}
    current, _ = current_buckets([full, empty], datasets={("bills", "bill"): BILL}, rows_per_bucket=rows, unreadable={})
    counted = current[BucketKey("bills", "acme", "bill", "2026-10-01")]
    assert counted.delivery == empty
    assert counted.is_withdrawn


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (delivery(from_day=0, to_day=1, stated=at(2), complete=False), "did not close"),
        (delivery(from_day=0, to_day=1, stated=at(2), grouping="workspace"), "grouped by"),
    ],
)
def test_an_open_chain_and_another_grouping_never_count_and_say_why(item, reason):
    assert reason in (may_count(item, BILL, {}) or "")
    assert chosen([item]) == {}


def test_a_delivery_with_one_unreadable_page_never_counts():
    item = delivery(from_day=0, to_day=1, stated=at(2))
    unreadable = {item.delivery_id: "cut in the middle of a number"}
    current, not_counted = current_buckets(
        [item], datasets={("bills", "bill"): BILL}, rows_per_bucket={}, unreadable=unreadable
    )
    assert current == {}
    assert "cut in the middle" in not_counted[0].reason


def under(name: str, item: Delivery) -> Delivery:
    return replace(item, dataset=name)


def test_a_delivery_of_a_dataset_that_this_release_does_not_know_is_named_and_counts_for_nothing() -> None:
    item = under("costs_v0", delivery(from_day=0, to_day=1, stated=at(2)))
    of_nobody = replace(item, source="fax")
    current, not_counted = current_buckets(
        [item, of_nobody], datasets=datasets_by_name([BILL]), rows_per_bucket={}, unreadable={}
    )
    assert current == {}
    said = {found.delivery.source: found.reason for found in not_counted}
    assert said["bills"].startswith("this release knows no dataset 'costs_v0' of bills, only bill")
    assert said["fax"].startswith("this release reads no source 'fax'")


@given(deliveries(), st.data())
@settings(max_examples=100, deadline=None)
def test_what_landed_under_a_former_name_counts_and_is_restated_as_if_it_had_landed_under_todays(
    found: list[Delivery], data: st.DataObject
) -> None:
    """B10."""
    renamed = [under("bill_v1", item) if data.draw(st.booleans()) else item for item in found]
    datasets = datasets_by_name([replace(BILL, former_names=("bill_v1",))])
    current, not_counted = current_buckets(renamed, datasets=datasets, rows_per_bucket={}, unreadable={})
    assert all("knows no dataset" not in item.reason for item in not_counted)
    today = chosen(found)
    assert set(current) == set(today)
    for key, counted in current.items():
        ours, theirs = counted.delivery, today[key]
        # Of two that say the same at the same moment the id decides, of which the name is a part.
        assert (ours.stated_at, ours.landed_at) == (theirs.stated_at, theirs.landed_at)


def test_of_two_datasets_that_claim_a_name_the_one_called_so_now_has_it() -> None:
    other = replace(BILL, name="bill_v1")
    known = datasets_by_name([replace(BILL, former_names=("bill_v1",)), other])
    assert (known["bills", "bill_v1"], known["bills", "bill"].name) == (other, "bill")


CLOUD = replace(BILL, bucket="billing_period")


def of_period(
    *, stated: int, rows: Mapping[str, int], period: str | None = None, **settings: str
) -> tuple[Delivery, Mapping[str, int]]:
    said = {**({"billing_period": period} if period else {}), **settings}
    item = delivery(from_day=0, to_day=31, stated=at(stated), content=f"{stated} {sorted(rows.items())}")
    return replace(item, settings=said), rows


def counted_rows(
    found: Iterable[tuple[Delivery, Mapping[str, int]]],
) -> tuple[dict[str, Delivery], dict[str, str]]:
    """Bucket -> what counts of it; and what is said of a delivery."""
    known = {item.delivery_id: rows for item, rows in found}
    current, not_counted = current_buckets(
        [item for item, _ in found], datasets={("bills", "bill"): CLOUD}, rows_per_bucket=known, unreadable={}
    )
    said = {one.delivery.delivery_id: one.reason for one in not_counted}
    return {key.bucket: counted.delivery for key, counted in current.items()}, said


_MONTHS = ("2026-10", "2026-11")


@given(
    st.lists(
        st.tuples(st.sampled_from(_MONTHS), st.integers(0, 3), st.sampled_from(["", "a", "b"])), min_size=1, max_size=8
    )
)
def test_an_export_that_was_emptied_says_what_still_counts_and_changes_nothing(
    drawn: list[tuple[str, int, str]],
) -> None:
    """A redelivery with a header alone is told where its month, or its part of it, had rows, and only there."""
    found = []
    for number, (month, rows, part) in enumerate(drawn):
        bucket = "|".join(["aws", f"{month}-01", *([part] if part else [])])
        held = {bucket: rows} if rows else {}
        found.append(of_period(stated=40 + number, rows=held, period=month, **({"part": part} if part else {})))
    current, said = counted_rows(found)
    without = [one for one in found if one[1]]
    assert current == counted_rows(without)[0]
    for number, ((month, rows, part), (item, _)) in enumerate(zip(drawn, found, strict=True)):
        before = [one for one in drawn[:number] if one[0] == month and one[1] and (not part or one[2] == part)]
        assert (item.delivery_id in said) == (not rows and bool(before))


def test_what_an_emptied_export_says() -> None:
    full, empty = of_period(stated=40, rows={"2026-10": 1200}, period="2026-10"), of_period(stated=41, rows={})
    assert counted_rows([full, empty])[1] == {
        empty[0].delivery_id: "it holds no row. 1,200 rows of 2026-10, which landed until 2026-11-10 00:00 UTC, count "
        "as before: nothing is taken for 0. Export it again; where they are really gone, take out what said them: "
        "`breakeven landing redact`"
    }
