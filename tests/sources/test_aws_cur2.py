"""A Data Export of CUR 2.0 in S3 (moto's server on loopback), fetched, landed, read and added up by day."""

import io
import os
import random
import socket
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import duckdb
import polars as pl
import polars.selectors as cs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from pipeline.build.object_index import rows_of
from pipeline.build.parsed import Unread, parse_objects, remembered_object
from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.explain.evidence import Evidence
from pipeline.landing.landing import Landing
from pipeline.landing.records import LandedObject, digest
from pipeline.landing.store import FolderStore
from pipeline.sources.aws_cur2 import LINES, SOURCE, parse
from pipeline.sources.source import FetchContext
from tests.pipeline.small_project import Answers, SmallProject
from tests.sources import cur_legacy
from tests.sources.cur2 import (
    FIRST,
    NAME,
    NOW,
    PERIOD,
    STAGED,
    Company,
    FolderPlace,
    Line,
    S3Place,
    company,
    csv_gz,
    line,
    parquet,
    refresh,
    tax,
    usage,
)
from tests.sources.faulty_s3 import FaultySite, faulty_s3

SETTINGS = {"billing_period": PERIOD}
(DATASET,) = SOURCE.datasets


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def site(moto: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultySite]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with faulty_s3(moto) as site:
        monkeypatch.setenv("AWS_ENDPOINT_URL", site.url)
        yield site


@pytest.fixture
def place(site: FaultySite, moto: str) -> S3Place:
    client = boto3.client("s3", endpoint_url=moto)
    bucket = f"billing-{random.randrange(10**12)}"
    client.create_bucket(Bucket=bucket)
    return S3Place(client, bucket)


@pytest.fixture
def acme(tmp_path: Path, place: S3Place) -> Company:
    return company(tmp_path, place.root)


def total(answers: Answers, column: str = "billed_cost") -> Decimal:
    (row,) = answers.rows(f"select sum({column}) as total from {STAGED}")
    amount: Decimal = row["total"]
    return amount


def read(content: bytes) -> pl.DataFrame:
    return parse(content, SETTINGS)[LINES.name]


def read_in_place(content: bytes, folder: Path) -> pl.DataFrame:
    """The same through the build: the object where it lies, and the SELECT that reads it."""
    parsed = kept(content, folder)
    assert parsed.error is None, parsed.error
    table = parsed.tables[LINES.name]
    assert table.columns is not None
    with connected() as connection:
        return pl.DataFrame(connection.sql(rows_of([table.file], LINES, table.columns)))


def kept(content: bytes, folder: Path) -> Any:
    landing = Landing(FolderStore(folder / "landing"))
    landed = LandedObject(sha256=digest(content), size_bytes=len(content), name="chunk.parquet", media_type="")
    landing.store.put_if_absent(landed.key, content)
    unread = remembered_object(landed, dataset=DATASET, settings=SETTINGS, cache=folder / "cache")
    return parse_objects([unread], landing=landing)[0] if isinstance(unread, Unread) else unread


def connected() -> Any:
    return duckdb.connect(config={"threads": 1})


# --- which files count -----------------------------------------------------------------------------------------------


def test_a_stale_chunk_beside_the_manifest_is_not_counted(acme: Company, place: S3Place) -> None:
    """B9. The chunk of an earlier refresh that the last one no longer lists would be counted a second time. Case 8."""
    refresh(place, [parquet([line(10.5)]), parquet([line(9.3398111391), line(-0.25)])], at=FIRST)
    refresh(place, [parquet([line(14.0777581906)])], at=FIRST + timedelta(days=1))
    assert place.client.list_objects_v2(Bucket=place.bucket, Prefix=f"exports/{NAME}/data/")["KeyCount"] == 2
    assert total(acme.run()) == Decimal("14.0777581906")


def test_an_open_month_is_what_its_newest_manifest_says(acme: Company, place: S3Place) -> None:
    """B10. Restated with another number of files; what went is gone, what was given back is negative."""
    refresh(place, [parquet([line(100.0)]), parquet([line(5.0)])], at=FIRST)
    assert total(acme.run(now=FIRST + timedelta(days=1))) == 105
    refresh(place, [parquet([line(92.4), usage("Refund", -7.6)])], at=FIRST + timedelta(days=2))
    again = acme.run(now=FIRST + timedelta(days=3))
    assert total(again) == Decimal("84.8")
    assert len(acme.small.project.landing.contents().deliveries) == 2
    as_it_was = acme.build(now=FIRST + timedelta(days=1))
    assert total(as_it_was) == 105


def test_a_manifest_that_has_landed_is_not_fetched_again(acme: Company, place: S3Place, site: FaultySite) -> None:
    refresh(place, [parquet([line(3.0)])], at=FIRST)
    assert len(acme.fetch().deliveries) == 1
    site.asked.clear()
    assert acme.fetch(now=NOW + timedelta(days=1)).deliveries == ()
    assert site.asked == []


def test_a_manifest_that_says_the_same_later_is_another_statement(acme: Company, place: S3Place) -> None:
    """A day is settled by when it was last stated."""
    for days in (0, 1):
        refresh(place, [parquet([line(3.0)])], at=FIRST + timedelta(days=days))
        (delivery,) = acme.fetch(now=FIRST + timedelta(days=days, hours=1)).deliveries
        assert delivery.stated_at == FIRST + timedelta(days=days, seconds=2)
        assert delivery.stated_by == "last_modified"
    assert total(acme.build()) == 3


def test_with_create_new_only_the_last_execution_of_a_month_counts(acme: Company, place: S3Place) -> None:
    """B9. Every refresh leaves a folder of its own."""
    for number, cost in enumerate((1.0, 2.0, 3.5)):
        at = FIRST + timedelta(days=number)
        refresh(place, [parquet([line(cost)])], at=at, execution=f"{at:%Y-%m-%dT%H:%M:%S}.000Z-9f3{number}")
    assert total(acme.run()) == Decimal("3.5")
    assert len(acme.small.project.landing.contents().deliveries) == 1


def test_a_partition_in_lower_case_is_read_too(acme: Company, place: S3Place) -> None:
    refresh(place, [parquet([line(3.0)])], at=FIRST, partition="billing_period")
    assert total(acme.run()) == 3


def test_a_legacy_report_in_s3_is_read_by_its_manifests(tmp_path: Path, place: S3Place) -> None:
    """B9. Its manifest names files by their key; those of other reports are not ours to read."""
    cur_legacy.refresh(place, [cur_legacy.csv_gz([line(1.5)]), cur_legacy.csv_gz([line(2.0)])], at=FIRST)
    made = cur_legacy.company(tmp_path, place.root)
    assert total(made.run()) == Decimal("3.5")
    cur_legacy.refresh(
        place, [], at=FIRST + timedelta(days=1), listed=["exports/other/20261001-20261101/2f6e/other-00001.csv.gz"]
    )
    again = made.fetch(now=NOW + timedelta(days=1))
    assert "lies outside this export" in str(again.error)


def test_the_first_run_brings_every_month_from_the_horizon(tmp_path: Path, place: S3Place) -> None:
    for month, cost in (("2026-07", 1.0), ("2026-08", 2.0), ("2026-09", 4.0), ("2026-10", 8.0)):
        start = f"{month}-01T00:00:00Z"
        lines = [line(cost, bill_billing_period_start_date=start, line_item_usage_start_date=start)]
        refresh(place, [parquet(lines)], at=FIRST, period=month)
    acme = company(tmp_path, place.root, horizon=date(2026, 8, 15))
    months = [delivery.settings["billing_period"] for delivery in acme.fetch().deliveries]
    assert months == ["2026-08", "2026-09", "2026-10"]
    assert total(acme.build()) == 14


def test_a_month_that_is_restated_late_is_noticed(acme: Company, place: S3Place) -> None:
    """B10. Refunds reopen months that nobody looks at any more."""
    may = {
        "bill_billing_period_start_date": "2026-05-01T00:00:00Z",
        "line_item_usage_start_date": "2026-05-09T00:00:00Z",
    }
    refresh(place, [parquet([line(7.0, **may)])], at=FIRST, period="2026-05")
    refresh(place, [parquet([line(1.0)])], at=FIRST)
    assert total(acme.run()) == 8
    refresh(place, [parquet([line(7.0, **may), usage("Refund", -2.0, **may)])], at=NOW, period="2026-05")
    assert total(acme.run(now=NOW + timedelta(days=1))) == 6


def test_a_copy_in_a_folder_is_read_as_the_export_in_s3(tmp_path: Path) -> None:
    copy = FolderPlace(tmp_path / "copies" / NAME)
    refresh(copy, [parquet([line(10.0)]), parquet([line(9.0)])], at=FIRST)
    refresh(copy, [parquet([line(4.25)])], at=FIRST + timedelta(days=1))
    acme = company(tmp_path, f"copies/{NAME}")
    (delivery,) = acme.fetch().deliveries
    assert delivery.stated_at == FIRST + timedelta(days=1, seconds=2)
    assert total(acme.build()) == Decimal("4.25")


def test_where_there_is_no_such_folder_the_setting_is_named(tmp_path: Path) -> None:
    error = company(tmp_path, "copies/nowhere").fetch().error
    assert error is not None
    assert "settings.export" in error
    assert "copies/nowhere" in error
    with pytest.raises(ConfigError, match=r"settings\.export"):
        list(SOURCE.fetch(context(export=None)))  # type: ignore[misc]


def context(**given_settings: Any) -> FetchContext:
    return FetchContext(
        account="aws", settings=given_settings, from_at=None, to_at=NOW, now=NOW, environment={}, sleep=lambda _: None
    )


# --- what goes wrong on the way --------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut", "short"])
def test_a_download_that_breaks_off_is_tried_again(acme: Company, place: S3Place, site: FaultySite, fault: Any) -> None:
    refresh(place, [parquet([line(1.5)]), parquet([line(2.5)])], at=FIRST)
    site.faults = [("-00002.snappy.parquet", fault)]
    assert total(acme.run()) == 4
    assert acme.waits == [1.0]
    assert site.asked.count(f"{NAME}-00002.snappy.parquet") == 2


@pytest.mark.parametrize("fault", ["slow_down", "reset", "cut", "short"])
def test_a_download_that_keeps_breaking_off_loses_nothing(
    acme: Company, place: S3Place, site: FaultySite, fault: Any
) -> None:
    """Half a refresh never lands: the one before counts, other months come, and the next run brings it."""
    september = {
        "bill_billing_period_start_date": "2026-09-01T00:00:00Z", "line_item_usage_start_date": "2026-09-03T00:00:00Z"
    }  # fmt: skip
    refresh(place, [parquet([line(1.0)])], at=FIRST)
    assert total(acme.run()) == 1
    refresh(place, [parquet([line(1.5)]), parquet([line(2.5)])], at=FIRST + timedelta(days=1))
    refresh(place, [parquet([line(16.0, **september)])], at=FIRST, period="2026-09")
    site.faults = [("-00002.snappy.parquet", fault)] * 4
    done = acme.fetch(now=NOW + timedelta(hours=1))
    assert [delivery.settings["billing_period"] for delivery in done.deliveries] == ["2026-09"]
    assert done.error is not None
    assert "-00002.snappy.parquet" in done.error
    assert "4 times" in done.error
    assert total(acme.build(now=NOW + timedelta(hours=1))) == 17
    assert total(acme.run(now=NOW + timedelta(hours=2))) == 20
    assert acme.waits == [1.0, 2.0, 4.0]


def test_a_file_that_is_replaced_between_the_manifest_and_its_reading_waits(
    acme: Company, place: S3Place, site: FaultySite
) -> None:
    """B9. Old chunks with new ones count some lines twice and lose others."""
    refresh(place, [parquet([line(1.5)]), parquet([line(2.5)])], at=FIRST)
    newer = [parquet([line(3.0)]), parquet([line(2.5)])]
    site.before[f"{NAME}-00001.snappy.parquet"] = lambda: refresh(place, newer, at=FIRST + timedelta(days=1))
    done = acme.fetch()
    assert done.deliveries == ()
    assert done.error is not None
    assert "was replaced while it was read" in done.error
    assert total(acme.run(now=NOW + timedelta(hours=1))) == Decimal("5.5")


def test_a_file_younger_than_its_manifest_is_of_a_refresh_under_way(acme: Company, place: S3Place) -> None:
    """B9. AWS writes the manifest last; until then the old one lists files that are new already."""
    refresh(place, [parquet([line(1.5)]), parquet([line(2.5)])], at=FIRST)
    chunk = f"data/BILLING_PERIOD={PERIOD}/{NAME}-00002.snappy.parquet"
    place.put(chunk, parquet([line(2.5), line(1.5)]), FIRST + timedelta(hours=8))
    done = acme.fetch()
    assert done.deliveries == ()
    assert done.error is not None
    assert f"{NAME}-00002.snappy.parquet is of 2026-10-20T12:00:00" in done.error


def test_a_listed_file_that_is_gone_is_named(acme: Company, place: S3Place) -> None:
    refresh(place, [parquet([line(1.5)])], at=FIRST)
    place.client.delete_object(
        Bucket=place.bucket, Key=f"exports/{NAME}/data/BILLING_PERIOD={PERIOD}/{NAME}-00001.snappy.parquet"
    )
    done = acme.fetch()
    assert done.deliveries == ()
    assert done.error is not None
    assert "is not there" in done.error


def test_a_refusal_names_the_permission_and_is_not_repeated(acme: Company, place: S3Place, site: FaultySite) -> None:
    refresh(place, [parquet([line(1.5)])], at=FIRST)
    site.faults = [("-Manifest.json", "denied")]
    done = acme.fetch()
    assert done.error is not None
    assert "AccessDenied" in done.error
    assert "s3:GetObject" in done.error
    assert "`breakeven policy aws`" in done.error
    assert acme.waits == []


@pytest.mark.parametrize(
    "listed",
    [
        "s3://someone-elses-bucket/exports/{export}/data/BILLING_PERIOD=2026-10/{export}-00001.snappy.parquet",
        "{root}/../other/data/BILLING_PERIOD=2026-10/{export}-00001.snappy.parquet",
        "{root}/data/BILLING_PERIOD=2026-10/../../../secret.parquet",
        "{root}/data/BILLING_PERIOD=2026-10/../{export}-00001.snappy.parquet",
        "{root}-of-others/data/BILLING_PERIOD=2026-10/{export}-00001.snappy.parquet",
        "{root}/data/BILLING_PERIOD=2026-09/{export}-00001.snappy.parquet",
        "{root}/metadata/BILLING_PERIOD=2026-10/{export}-Manifest.json",
        "/etc/passwd",
        "file:///etc/passwd",
        "data/BILLING_PERIOD=2026-10/a\nb",
        "",
    ],
)
@pytest.mark.parametrize("where", ["s3", "folder"])
def test_a_manifest_leads_nowhere_but_into_its_own_export(
    tmp_path: Path, place: S3Place, site: FaultySite, where: str, listed: str
) -> None:
    held = place if where == "s3" else FolderPlace(tmp_path / NAME)
    name = listed.format(root=held.root, export=NAME)
    refresh(held, [parquet([line(1.5)])], at=FIRST, listed=[name])
    done = company(tmp_path, place.root if where == "s3" else NAME).fetch()
    if where == "folder" and "someone-elses" in name:
        # A copy does not know which bucket it was copied from: the file's place in the export is all that is read.
        assert len(done.deliveries) == 1
        return
    if where == "folder" and "-of-others" in name:
        assert len(done.deliveries) == 1
        return
    assert done.deliveries == ()
    assert done.error is not None
    assert site.asked in ([f"{NAME}-Manifest.json"], [])
    assert not any(path.is_file() for path in (tmp_path / ".breakeven" / "landing" / "objects").rglob("*"))


def test_a_link_in_a_copy_leads_nowhere(tmp_path: Path) -> None:
    copy = FolderPlace(tmp_path / NAME)
    refresh(copy, [parquet([line(1.5)])], at=FIRST)
    chunk = tmp_path / NAME / "data" / f"BILLING_PERIOD={PERIOD}" / f"{NAME}-00001.snappy.parquet"
    outside = tmp_path / "outside.parquet"
    os.replace(chunk, outside)
    chunk.symlink_to(outside)
    done = company(tmp_path, NAME).fetch()
    assert done.deliveries == ()
    assert done.error is not None
    assert "is not there" in done.error


def test_a_file_that_is_listed_twice_is_not_counted_twice(acme: Company, place: S3Place) -> None:
    """B9."""
    name = f"{place.root}/data/BILLING_PERIOD={PERIOD}/{NAME}-00001.snappy.parquet"
    refresh(place, [parquet([line(1.5)])], at=FIRST, listed=[name, name])
    done = acme.fetch()
    assert done.deliveries == ()
    assert done.error is not None
    assert "twice" in done.error


@pytest.mark.parametrize("manifest", [b"", b"[]", b'{"dataFiles": {}}', b'{"dataFiles": [1]}', b'{"reportKeys": []}'])
def test_a_manifest_that_cannot_be_read_stops_no_other_month(acme: Company, place: S3Place, manifest: bytes) -> None:
    refresh(place, [parquet([line(1.5)])], at=FIRST)
    place.put(f"metadata/BILLING_PERIOD=2026-09/{NAME}-Manifest.json", manifest, FIRST)
    done = acme.fetch()
    assert [delivery.settings["billing_period"] for delivery in done.deliveries] == [PERIOD]
    assert done.error is not None
    assert "2026-09" in done.error


def test_files_are_landed_one_after_the_other(tmp_path: Path) -> None:
    """However large a month is, one of its files is in memory at a time."""
    copy = FolderPlace(tmp_path / NAME)
    chunks = [parquet([line(float(number))]) for number in range(4)]
    refresh(copy, chunks, at=FIRST)
    steps: list[str] = []

    class Watched(FolderStore):
        def put_if_absent(self, key: str, content: bytes) -> bool:
            steps.append(f"put {key.partition('/')[0]}")
            return super().put_if_absent(key, content)

    (fetched,) = SOURCE.fetch(context(export=str(tmp_path / NAME)))  # type: ignore[misc]
    names = (steps.append(f"read {payload.name[-20:-15]}") or payload for payload in fetched.payloads)  # type: ignore[func-returns-value]
    landing = Landing(Watched(tmp_path / "landing"))
    delivery = landing.land(
        type(fetched)(dataset=fetched.dataset, payloads=names), source="aws_cur2", account="aws", now=NOW
    )
    assert len(delivery.objects) == 4
    reads = [step for number in range(1, 5) for step in (f"read {number:05d}", "put objects")]
    assert steps == [*reads, "put deliveries"]


# --- amounts and rows ------------------------------------------------------------------------------------------------


def test_doubles_arrive_as_the_decimals_they_spell(tmp_path: Path) -> None:
    """B7. Two legal entities' invoices of a real month: summed as doubles they come to 15.815078765899997. Case 10."""
    costs = [14.4224271659, 1.36, 0.0326516]
    spelled = ["14.4224271659", "1.36", "0.0326516"]
    frame = read_in_place(parquet([line(cost) for cost in costs]), tmp_path)
    assert frame["line_item_unblended_cost"].to_list() == list(map(Decimal, spelled))
    assert frame["line_item_unblended_cost"].sum() == Decimal("15.815078765900000000")


@pytest.mark.parametrize(
    ("double", "exact"),
    [
        (0.621261336, "0.621261336"),
        (886470.6717, "886470.6717"),
        (99999.9999999999, "99999.9999999999"),
        (123456789.12, "123456789.12"),
        (-0.0000000001, "-0.0000000001"),
        (1.5e-11, "0.000000000015"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-0.0, "0"),
        (12345678901234.56, "12345678901234.56"),
        (9e14, "900000000000000"),
    ],
)
def test_a_double_is_the_shortest_number_that_reads_as_it(tmp_path: Path, double: float, exact: str) -> None:
    """B7. The quick way to decimals is taken only where it is exact."""
    for frame in (read(parquet([line(double)])), read_in_place(parquet([line(double)]), tmp_path)):
        assert frame["line_item_unblended_cost"].to_list() == [Decimal(exact)]


def test_instants_that_carry_a_zone_are_read_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B8. Some writers say that their instants are UTC; the machine's own zone is nobody's."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    plain = parquet([line(1.0), line(2.0, line_item_usage_start_date="2026-10-31T23:30:00Z")])
    file = io.BytesIO()
    frame = pl.read_parquet(plain)
    frame.with_columns(cs.temporal().dt.replace_time_zone("UTC")).write_parquet(file)
    assert file.getvalue() != plain
    assert read_in_place(file.getvalue(), tmp_path).equals(read_in_place(plain, tmp_path))
    assert read(file.getvalue()).equals(read(plain))


def test_csv_and_parquet_say_the_same(tmp_path: Path) -> None:
    lines = [line(0.1), tax(2.5), usage("Credit", -1.25, resource_tags={"a,b": 'c"d'}), line(3.0, bill_invoice_id=None)]
    assert read(csv_gz(lines)).equals(read_in_place(parquet(lines), tmp_path))


_AMOUNT = st.one_of(
    st.decimals(-9999, 9999, places=10).map(float),
    st.decimals(-(10**9), 10**9, places=4).map(float),
    st.floats(-1e9, 1e9, allow_nan=False)
    .map(lambda number: float(f"{number:.9g}"))
    .filter(lambda n: n == 0 or abs(n) > 1e-8),
    st.just(0.0),
    st.none(),
)
_TEXT = st.one_of(st.none(), st.sampled_from(["", "a", "NULL", "é, ü", 'q"uote', " x "]))
_LINES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "line_item_usage_amount": _AMOUNT,
            "pricing_public_on_demand_cost": _AMOUNT,
            "reservation_effective_cost": _AMOUNT,
            "savings_plan_used_commitment": _AMOUNT,
            "bill_invoice_id": _TEXT,
            "line_item_resource_id": _TEXT,
            "product": st.one_of(
                st.none(), st.just({}), st.just({"gpu": "8"}), st.just({"product_name": "", "x": "y"})
            ),
            "resource_tags": st.one_of(st.none(), st.just({}), st.just({"user_team": "x"})),
            "brand_new_column": _TEXT,
            "line_item_usage_start_date": st.sampled_from(["2026-09-30T23:00:00Z", "2026-10-31T23:59:59Z"]),
        },
    ).map(lambda fields: line(0.1, **fields)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=20)
@given(lines=_LINES)
def test_an_object_read_where_it_lies_says_what_parsing_it_says(tmp_path_factory: Any, lines: list[Line]) -> None:
    """B7. Two routes to the same rows: expressions over the file, and the reader of bulk exports."""
    content = parquet(lines)
    assert read_in_place(content, tmp_path_factory.mktemp("kept")).equals(read(content))


@settings(max_examples=8)
@given(costs=st.lists(st.decimals(-999, 99999, places=10), min_size=1, max_size=12), seed=st.integers(0, 10**6))
def test_how_a_month_is_cut_into_files_changes_no_sum(tmp_path_factory: Any, costs: list[Decimal], seed: int) -> None:
    """B8, B9. Any number of chunks, any order of lines and chunks, either format: the same daily charges."""
    chance = random.Random(seed)
    lines = [
        line(
            float(cost),
            line_item_usage_start_date=f"2026-10-{chance.randrange(1, 32):02d}T{chance.randrange(24):02d}:00:00Z",
            line_item_resource_id=f"i-{chance.randrange(3)}",
            bill_invoice_id=chance.choice([None, "1", "2"]),
        )
        for cost in costs
    ]
    folder = tmp_path_factory.mktemp("cut")
    found = []
    for number in range(2):
        shuffled = chance.sample(lines, len(lines))
        ends = sorted(chance.choices(range(len(lines) + 1), k=number * 2))
        pieces = [shuffled[a:b] for a, b in zip([0, *ends], [*ends, len(lines)], strict=True)]
        write = parquet if number == 0 else chance.choice([parquet, csv_gz])
        held = FolderPlace(folder / str(number) / NAME)
        refresh(held, [write(piece) for piece in pieces if piece], at=FIRST)
        answers = company(folder / str(number), NAME).run()
        found.append(answers.rows(f"select * from {STAGED} order by all"))
    assert found[0] == found[1]
    assert sum(row["billed_cost"] for row in found[0]) == sum(costs)
    assert sum(row["line_count"] for row in found[0]) == len(lines)


def test_days_are_utc_days_and_sum_to_the_month(acme: Company, place: S3Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """B8. The machine's own zone moves no hour to another day; what was used in September stays there."""
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    hours = ["2026-09-30T23:00:00Z", "2026-10-01T00:00:00Z", "2026-10-31T23:00:00Z", "2026-11-01T00:00:00Z"]
    refresh(place, [parquet([line(1.0, line_item_usage_start_date=hour) for hour in hours])], at=FIRST)
    answers = acme.run()
    days = answers.rows(f"select usage_date, billing_period_start_date from {STAGED} order by all")
    assert [row["usage_date"] for row in days] == [
        date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 1)
    ]  # fmt: skip
    assert {row["billing_period_start_date"] for row in days} == {date(2026, 10, 1)}
    assert total(answers) == 4


def test_a_month_has_several_invoices_and_none_while_it_is_open(acme: Company, place: S3Place) -> None:
    """B10. The invoice of AWS, that of a marketplace seller, and lines that are on none yet. Case 7."""
    seller = {"bill_billing_entity": "AWS Marketplace", "bill_invoicing_entity": "Anthropic, PBC"}
    lines = [
        line(14.4224271659),
        tax(1.36),
        line(0.0326516, bill_invoice_id="EUINGB26-1", **seller),
        line(0.5, bill_invoice_id=None),
        line(0.25, bill_invoice_id=""),
    ]
    refresh(place, [parquet(lines)], at=FIRST)
    found = acme.run().rows(
        f"select invoice_id, invoice_issuer, sum(billed_cost) as billed from {STAGED} group by all order by all"
    )
    assert [(row["invoice_id"], row["invoice_issuer"], row["billed"]) for row in found] == [
        ("2181117685", "Amazon Web Services, Inc.", Decimal("15.7824271659")),
        ("EUINGB26-1", "Anthropic, PBC", Decimal("0.0326516")),
        (None, "Amazon Web Services, Inc.", Decimal("0.75")),
    ]


def test_every_kind_of_line_is_in_the_sum(acme: Company, place: S3Place) -> None:
    """B24. Disks, requests, egress, support, taxes, credits, and a type that AWS has yet to invent. Case 26."""
    kinds = {
        "USE1-EBS:VolumeUsage.gp3": 0.8,
        "USE1-Requests-Tier1": 0.0000054,
        "DataTransfer-Out-Bytes": 0.09,
        "USE1-MP:USE1_InputTokenCount-Units": 6.7901185,
        "Dollar": 29.0,
    }
    lines = [
        *(line(cost, line_item_usage_type=kind) for kind, cost in kinds.items()),
        *(usage(kind, 0.5) for kind in ("Fee", "RIFee", "Tax", "Credit", "Refund", "EdpDiscount", "SomethingNew")),
    ]
    refresh(place, [parquet(lines)], at=FIRST)
    answers = acme.run()
    assert total(answers) == sum(Decimal(str(cost)) for cost in kinds.values()) + Decimal("3.5")
    assert total(answers, "line_count") == len(lines)
    (new,) = answers.rows(f"select * from {STAGED} where charge_category = 'SomethingNew'")
    assert new["billed_cost"] == Decimal("0.5")


def test_a_column_that_aws_does_not_document_is_kept(tmp_path: Path) -> None:
    """Case 26."""
    frame = read_in_place(parquet([line(x_new="one", y_new=None), line(x_new=None, y_new=None)]), tmp_path)
    assert frame["other_columns"].to_list() == ['{"x_new":"one","y_new":null}', None]


def test_a_column_that_the_export_leaves_out_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    columns = [
        "bill_billing_period_start_date", "line_item_usage_start_date", "line_item_unblended_cost",
        "line_item_currency_code", "line_item_line_item_type",
    ]  # fmt: skip
    for content in (parquet([line()], columns=columns), csv_gz([line()], columns=columns)):
        frame = read(content)
        assert frame["pricing_public_on_demand_cost"].to_list() == [None]
        assert frame["product_gpu"].to_list() == [None]
    assert read_in_place(parquet([line()], columns=columns), tmp_path).equals(frame)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"line_item_unblended_cost": None}, "line_item_unblended_cost says nothing"),
        ({"line_item_unblended_cost": float("nan")}, "line_item_unblended_cost"),
        ({"line_item_usage_amount": float("inf")}, "line_item_usage_amount"),
        ({"pricing_public_on_demand_cost": 1e21}, "pricing_public_on_demand_cost"),
        ({"line_item_usage_start_date": None}, "line_item_usage_start_date says nothing"),
        ({"line_item_usage_start_date": "1066-10-14T00:00:00Z"}, "beyond the calendar"),
        ({"line_item_currency_code": None}, "line_item_currency_code says nothing"),
        ({"line_item_currency_code": ""}, "line_item_currency_code says nothing"),
        ({"line_item_line_item_type": None}, "line_item_line_item_type says nothing"),
        ({"bill_billing_period_start_date": "2026-09-01T00:00:00Z"}, "is not in 2026-10"),
        ({"bill_billing_period_start_date": "2026-11-01T00:00:00Z"}, "is not in 2026-10"),
    ],
)
def test_a_line_that_cannot_be_counted_quarantines_its_file(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    content = parquet([line(), {**line(), **fields}])
    with pytest.raises(QuarantineError, match=reason):
        read(content)
    said = kept(content, tmp_path).error or ""
    assert said.startswith("row 2: ")
    assert reason in said


def test_a_folder_whose_name_is_a_pattern_is_read_like_another(tmp_path: Path) -> None:
    found = kept(parquet([line(1.0)]), tmp_path / "the [acme] company")
    assert (found.error, [part.rows for part in found.tables[LINES.name].parts]) == (None, [1])


def test_a_file_that_is_read_where_it_lies_is_never_in_memory_as_a_whole(
    acme: Company, place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_object(landing: Landing, landed: LandedObject) -> bytes:
        raise AssertionError(f"{landed.name} is read into memory")

    refresh(place, [parquet([line(1.0)]), parquet([line(2.0)]), parquet([line(4.0)])], at=FIRST)
    acme.fetch()
    monkeypatch.setattr(Landing, "read_object", read_object)
    assert total(acme.run()) == 7


def test_a_split_line_without_a_cost_charges_nothing(acme: Company, place: S3Place) -> None:
    """B9. It shows a part of another line's cost: added up with it, that part would be charged twice."""
    split = line(
        None,
        split_line_item_parent_resource_id="i-04fb6a4afc04d1e71",
        split_line_item_split_cost=0.4,
        line_item_resource_id="pod",
    )
    refresh(place, [parquet([line(1.0, split_line_item_parent_resource_id=None), split])], at=FIRST)
    assert total(acme.run()) == 1


@pytest.mark.parametrize("cut", [4, 40, 400])
def test_a_cut_file_is_quarantined(tmp_path: Path, cut: int) -> None:
    for content in (parquet([line()] * 20), csv_gz([line()] * 20)):
        with pytest.raises(QuarantineError):
            read(content[:-cut])
        assert kept(content[:-cut], tmp_path).error is not None


def test_a_month_of_which_one_file_cannot_be_read_keeps_what_it_was(acme: Company, place: S3Place) -> None:
    """A refresh counts whole or not at all."""
    refresh(place, [parquet([line(1.0)])], at=FIRST)
    assert total(acme.run()) == 1
    refresh(place, [parquet([line(2.0)]), b"PAR1 and nothing more"], at=FIRST + timedelta(days=1))
    assert total(acme.run(now=NOW + timedelta(hours=1))) == 1
    (entry,) = acme.small.quarantine(now=NOW + timedelta(hours=1))
    assert "Parquet" in entry.reason


def test_a_file_by_itself_is_quarantined_with_what_to_do(tmp_path: Path) -> None:
    """Case 8, B9. A second chunk dropped beside the first would take its place."""
    small = SmallProject(tmp_path, [{"source": "aws_cur2", "account": "aws", "inbox": "inbox/aws"}])
    (tmp_path / "inbox" / "aws" / "chunk.snappy.parquet").write_bytes(parquet([line(1.0)]))
    (tmp_path / "inbox" / "aws" / "chunk.csv.gz").write_bytes(csv_gz([line(1.0)]))
    answers = small.run(now=NOW)
    assert answers.rows(f"select * from {STAGED}") == []
    reasons = {entry.reason for entry in small.quarantine(now=NOW)}
    assert len(reasons) == 1
    assert "settings.export" in reasons.pop()


def test_the_columns_that_a_charge_needs_are_named(tmp_path: Path) -> None:
    content = parquet([line()], columns=["line_item_unblended_cost", "line_item_currency_code"])
    with pytest.raises(QuarantineError, match="bill_billing_period_start_date, line_item_usage_start_date"):
        read(content)
    assert "bill_billing_period_start_date" in (kept(content, tmp_path).error or "")


# --- what the cache knows --------------------------------------------------------------------------------------------


def test_an_object_is_indexed_once_and_its_rows_are_where_they_were(tmp_path: Path) -> None:
    content = parquet([line(1.0), line(2.0)])
    first = kept(content, tmp_path)
    again = kept(content, tmp_path)
    assert again == first
    table = again.tables[LINES.name]
    assert table.file.read_bytes() == content
    with connected() as connection:
        rows = connection.sql(
            f"select n, line_item_unblended_cost from ({rows_of([table.file], LINES, table.columns, row_number='n')})"
        ).fetchall()
    assert rows == [(1, Decimal(1)), (2, Decimal(2))]


def test_a_charge_is_traced_to_its_row_in_the_object(acme: Company, place: S3Place) -> None:
    refresh(place, [parquet([line(1.0), line(2.0, identity_line_item_id="this one"), line(4.0)])], at=FIRST)
    answers = acme.run()
    project = acme.small.project
    with Evidence(
        answers.result.snapshot, landing=project.landing, datasets=[DATASET], cache=project.paths.cache
    ) as evidence:
        evidence.trace("landed_aws_cur2__lines")
        rows = evidence.select("from traced_aws_cur2__lines order by object_row")
        assert [(row["object_row"], row["line_item_unblended_cost"]) for row in rows] == [(1, 1), (2, 2), (3, 4)]
        found = evidence.place(rows[1]["object_number"], 2)
        evidence.trace_model(STAGED, [date(2026, 10, 2)])
        made = evidence.select(f"select object_row, billed_cost, stated_amount from traced_{STAGED} order by all")
        assert [row["billed_cost"] for row in made] == [Decimal(row["stated_amount"]) for row in made] == [1, 2, 4]
    assert found.says["identity_line_item_id"] == "this one"
    assert found.says["line_item_unblended_cost"] == 2.0


def test_equal_rows_in_other_bytes_say_the_same_where_they_are_few(tmp_path: Path, monkeypatch: Any) -> None:
    """A straggler's month is not added up again because another month's file was written anew."""
    lines = [line(1.0), line(2.0)]
    one, other = parquet(lines), parquet(list(reversed(lines)))
    assert one != other
    few = [kept(content, tmp_path).tables[LINES.name].parts for content in (one, other)]
    assert few[0] == few[1]
    monkeypatch.setattr("pipeline.build.object_index._FEW_ROWS", 1)
    many = [kept(content, tmp_path / "bulk").tables[LINES.name].parts for content in (one, other)]
    assert [part.content for part in many[0]] != [part.content for part in many[1]]
    assert [part.money for part in many[0]] == [part.money for part in few[0]]


def test_the_reader_refuses_to_yield_other_types_than_it_declares(tmp_path: Path, monkeypatch: Any) -> None:
    content = parquet([line(1.0)])
    monkeypatch.setitem(LINES.columns, "line_item_usage_type", pl.Int64())  # type: ignore[arg-type]
    assert "not the declared ones" in (kept(content, tmp_path).error or "")


def test_a_source_error_of_a_delivery_is_a_source_error(place: S3Place) -> None:
    refresh(place, [], at=FIRST, listed=["nothing of ours"])
    (fetched,) = SOURCE.fetch(context(export=place.root))  # type: ignore[misc]
    with pytest.raises(SourceError, match="nothing of ours"):
        list(fetched.payloads)
