"""DigitalOcean's invoices: pages to the end, a month restated whole, a preview that goes, and what of it is a GPU."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.decisions.graph import shipped_graph
from pipeline.errors import ConfigError, QuarantineError, SourceError
from pipeline.explain.evidence import Evidence
from pipeline.explain.explanation import Explanation
from pipeline.explain.invoices import explain_invoice
from pipeline.landing.fetched import Fetched
from pipeline.sources.digitalocean_invoices import SOURCE, drop, fetch
from pipeline.sources.digitalocean_items import charge_kind, parse
from pipeline.sources.gpu_bill import LINES, TOTALS
from pipeline.sources.ingest import ingest
from pipeline.sources.recognise import recognise_bytes
from tests.pipeline.small_project import INVOICE, Answers, SmallProject, invoice_csv, source
from tests.sources.admin_api import KEY, NOW, Answer, Sleeps, context, serving

OCTOBER, PREVIEW, NOVEMBER = "22737513-0ea7", "1afe95e6-0958", "fdabb512-6faf"
HEADER = "product,group_description,description,hours,start,end,USD,project_name,category\n"


def item(product: str, description: str, amount: str, **fields: Any) -> dict[str, Any]:
    said = {
        "product": product, "resource_uuid": "", "resource_id": "", "group_description": "", "description": description,
        "amount": amount, "duration": "744", "duration_unit": "Hours", "start_time": "2026-10-01T00:00:00Z",
        "end_time": "2026-11-01T00:00:00Z", "project_name": "serving", "category": "iaas",
    }  # fmt: skip
    return {**said, **fields}


GPU = item("Droplets", "node-1 (gpu-h100x8-640gb)", "744.00", resource_id="353624")
IN_OCTOBER = [
    GPU,
    item("Droplets", "web (s-2vcpu-4gb)", "24.00", resource_id="353625"),
    item("Volumes", "weights (500 GiB)", "50.00"),
    item("Something new", "", "1.50"),
]
TAXES = {"name": "Taxes", "amount": "16.39"}
SUMMARY = {
    "invoice_uuid": OCTOBER, "billing_period": "2026-10", "amount": "833.89", "user_name": "Sammy Shark",
    "user_billing_address": {"address_line1": "101 Shark Row"}, "user_email": "sammy@example.com",
    "product_charges": {"name": "Product usage charges", "amount": "819.50", "items": []},
    "overages": {"name": "Overages", "amount": "0.00"}, "taxes": TAXES,
    "credits_and_adjustments": {"name": "Credits & adjustments", "amount": "-2.00"},
}  # fmt: skip


@dataclass
class DigitalOcean:
    """Its list, with items and summaries by invoice; `faults` are answered first."""

    invoices: list[dict[str, Any]] = field(
        default_factory=lambda: [{"invoice_uuid": OCTOBER, "amount": "833.89", "invoice_period": "2026-10"}]
    )
    preview: dict[str, Any] | None = field(
        default_factory=lambda: {
            "invoice_uuid": PREVIEW, "amount": "12.00", "invoice_period": "2026-11",
            "updated_at": "2026-11-15T00:00:00Z",
        }
    )  # fmt: skip
    items: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {
            OCTOBER: IN_OCTOBER,
            PREVIEW: [
                {**GPU, "amount": "12.00", "start_time": "2026-11-01T00:00:00Z", "end_time": "2026-11-13T00:00:00Z"}
            ],
        }
    )
    summaries: dict[str, dict[str, Any]] = field(default_factory=lambda: {OCTOBER: SUMMARY})
    most: int = 200
    counted: int = 0
    faults: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    base_url: str = ""

    def answer(self, path: str, params: list[tuple[str, str]], headers: Mapping[str, str]) -> Answer:
        self.asked.append((path, dict(params)))
        if self.faults:
            return self.faults.pop(0)
        if headers.get("authorization") != f"Bearer {KEY}":
            return Answer(status=401, body=b'{"id": "unauthorized", "message": "Unable to authenticate you."}')
        place = path.removeprefix("/v2/customers/my/invoices").strip("/")
        if place.endswith("/summary"):
            return Answer(body=json.dumps(self.summaries[place.removesuffix("/summary")], indent=1).encode())
        named, rows = ("invoice_items", self.items[place]) if place else ("invoices", self.invoices)
        asked = dict(params)
        page, size = int(asked["page"]), min(int(asked["per_page"]), self.most)
        more = page * size < len(rows)
        pages = {"next": f"https://elsewhere.example/steal?page={page + 1}"} if more else {}
        said: dict[str, Any] = {
            named: rows[(page - 1) * size : page * size],
            "links": {"pages": pages},
            "meta": {"total": len(rows) + self.counted},
        }
        if not place and self.preview is not None:
            said["invoice_preview"] = self.preview
        return Answer(body=json.dumps(said, indent=1).encode())


def fetched(api: DigitalOcean, *, sleeps: Sleeps | None = None, **more: Any) -> list[Fetched]:
    with serving(api):
        return list(fetch(context(api, from_at=datetime(2026, 10, 1, tzinfo=UTC), sleeps=sleeps, **more)))


def landed(delivery: Fetched) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    (payload,) = delivery.payloads
    frames = parse(payload.content, delivery.settings)
    assert {name: dict(frame.schema) for name, frame in frames.items()} == {
        LINES.name: LINES.schema, TOTALS.name: TOTALS.schema,
    }  # fmt: skip
    return frames[LINES.name].to_dicts(), frames[TOTALS.name].to_dicts()


def month(*items: Mapping[str, Any], listed: Mapping[str, Any] | None = None, **invoice: Any) -> bytes:
    """A month as it lands, of one invoice in one page."""
    entry = listed or {"invoice_uuid": OCTOBER, "amount": "0", "invoice_period": "2026-10"}
    said = {"listed": entry, "is_preview": False, "pages": [{"invoice_items": list(items)}], "summary": None}
    return json.dumps({"invoice_period": "2026-10", "invoices": [{**said, **invoice}]}).encode()


def lines_of(*items: Mapping[str, Any], **invoice: Any) -> list[dict[str, Any]]:
    return parse(month(*items, **invoice), {})[LINES.name].to_dicts()


def test_every_page_is_asked_for_by_its_number_and_no_address_of_an_answer_is_followed() -> None:
    api = DigitalOcean(most=1)
    october, november = fetched(api)
    assert [asked["page"] for path, asked in api.asked if path.endswith(OCTOBER)] == ["1", "2", "3", "4"]
    assert {asked["per_page"] for _, asked in api.asked if asked} == {"200"}
    assert (october.complete, november.complete, october.stated_at) == (True, True, NOW)
    lines, _ = landed(october)
    assert [line["line_number"] for line in lines] == [1, 2, 3, 4, 5, 6]


def test_items_that_are_fewer_than_counted_are_never_current() -> None:
    assert [delivery.complete for delivery in fetched(DigitalOcean(counted=1))] == [False, False]


def test_a_month_is_one_delivery_and_the_month_under_way_is_its_preview() -> None:
    october, november = fetched(DigitalOcean())
    lines, totals = landed(october)
    assert {line["bucket"] for line in lines} == {"2026-10"}
    assert [(total["invoice_id"], total["total_amount"]) for total in totals] == [(OCTOBER, "833.89")]
    lines, totals = landed(november)
    assert (lines[0]["bucket"], lines[0]["invoice_id"], totals) == ("2026-11", "preview 2026-11", [])
    assert november.to_at == NOW


def test_a_list_that_says_an_invoice_twice_never_counts_it_twice() -> None:
    """An invoice that is issued between two pages moves the last of the first one to the second."""
    listed = {"invoice_uuid": OCTOBER, "amount": "833.89", "invoice_period": "2026-10"}
    before = {"invoice_uuid": "b1afe95e-0958", "amount": "1.00", "invoice_period": "2026-09"}
    october, november = fetched(DigitalOcean(invoices=[before, listed, listed], most=2))
    assert (october.complete, november.complete) == (False, True)
    with pytest.raises(QuarantineError, match=f"{OCTOBER} is in it twice"):
        landed(october)


@pytest.mark.parametrize(
    ("entry", "is_october_whole"),
    [
        ({"invoice_uuid": "22737513-0ea8", "amount": "5", "invoice_period": None}, True),
        ({"invoice_uuid": "../../account", "amount": "5", "invoice_period": "2026-10"}, False),
        ("22737513-0ea8", True),
    ],
)
def test_an_invoice_that_cannot_be_asked_for_is_said_once_every_other_is_landed(
    entry: Any, is_october_whole: bool
) -> None:
    """Law 7: what is left out in silence is money that nobody misses."""
    api = DigitalOcean()
    api.invoices = [entry, *api.invoices]
    with serving(api):
        deliveries = fetch(context(api, from_at=datetime(2026, 10, 1, tzinfo=UTC)))
        assert [next(deliveries).complete for _ in range(2)] == [is_october_whole, True]
        with pytest.raises(SourceError, match="1 of the invoices that are listed name no month"):
            next(deliveries)


def test_an_issued_invoice_goes_before_the_preview_of_its_month() -> None:
    api = DigitalOcean()
    api.invoices.append({"invoice_uuid": NOVEMBER, "amount": "20.00", "invoice_period": "2026-11"})
    api.items[NOVEMBER] = [
        {**GPU, "amount": "20.00", "start_time": "2026-11-01T00:00:00Z", "end_time": "2026-11-21T00:00:00Z"}
    ]
    _, november = fetched(api)
    lines, totals = landed(november)
    assert [line["invoice_id"] for line in lines] == [total["invoice_id"] for total in totals] == [NOVEMBER]


def test_items_and_what_the_summary_says_beside_them_come_to_the_invoice() -> None:
    """By hand: 744 + 24 + 50 + 1.50 = 819.50; with 16.39 of tax and 2.00 given back, 833.89."""
    lines, (total,) = landed(fetched(DigitalOcean())[0])
    assert [(line["charge_kind"], line["amount"]) for line in lines] == [
        ("gpu_instance", "744.00"), ("other", "24.00"), ("storage", "50.00"), ("other", "1.50"),
        ("tax", "16.39"), ("credit", "-2.00"),
    ]  # fmt: skip
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(total["total_amount"])


def test_of_the_summary_nothing_lands_of_who_is_billed() -> None:
    (payload,) = fetched(DigitalOcean())[0].payloads
    assert b"product_charges" in payload.content
    assert not any(word in payload.content for word in (b"Sammy", b"Shark Row", b"sammy@"))


def test_a_summary_is_asked_for_only_where_the_items_do_not_add_up_and_taken_only_where_they_are_its_charges() -> None:
    api = DigitalOcean()
    api.invoices[0]["amount"] = "819.50"
    fetched(api)
    assert not any(path.endswith("/summary") for path, _ in api.asked)
    other = {**SUMMARY, "product_charges": {"name": "", "amount": "819.51"}}
    lines, (total,) = landed(fetched(DigitalOcean(summaries={OCTOBER: other}))[0])
    assert (len(lines), total["total_amount"]) == (4, "833.89")


def test_a_gpu_droplet_says_how_many_gpus_and_hours_and_whose_it_is() -> None:
    (line,) = lines_of(GPU)
    assert (line["resource_id"], line["gpu_count"], line["quantity"], line["unit"]) == ("353624", "8", "744", "Hours")
    assert (line["period_start"], line["period_end"]) == ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
    assert line["other_columns"] == '{"category": "iaas", "project_name": "serving"}'


@pytest.mark.parametrize(
    ("product", "group", "description", "kind"),
    [
        ("Droplets", "", "a (gpu-mi300x1-192gb)", ("gpu_instance", "1")),
        ("Droplets", "", "a (gpu-4000adax1-20gb)", ("gpu_instance", "1")),
        ("Droplets", "", "gpu-proxy (s-1vcpu-1gb)", ("other", None)),
        ("GPU Droplets", "", "trainer", ("gpu_instance", None)),
        ("Snapshots", "", "node-1 (gpu-h100x8-640gb)", ("storage", None)),
        ("Paperspace Machines", "", "trainer, A100-80Gx8", ("gpu_instance", "8")),
        ("Paperspace Machines", "", "desktop, C5", ("other", None)),
        ("Kubernetes Clusters", "llm", "a56e086a", ("gpu_instance", None)),
        ("Kubernetes Clusters", "web", "a56e086b", ("other", None)),
        ("Floating IPs", "", "Unused Floating IP - 1.1.1.1", ("network", None)),
        ("Taxes", "", "STATE SALES TAX (6.25%)", ("tax", None)),
        ("Promo credit", "", "", ("credit", None)),
        ("", "", "", ("other", None)),
    ],
)
def test_what_is_a_gpu_and_what_is_not(
    product: str, group: str, description: str, kind: tuple[str, str | None]
) -> None:
    told = charge_kind(product, group, description, {"llm": "gpu_instance"})
    assert (told.kind, told.gpus) == kind


@given(
    st.lists(
        st.tuples(
            st.decimals(-(10**9), 10**9, places=6),
            st.text(max_size=20),
            st.text(max_size=20),
            st.sampled_from(["", "7"]),
        ),
        max_size=8,
    )
)
def test_every_item_is_a_line_whatever_it_is_called(rows: list[tuple[Decimal, str, str, str]]) -> None:
    """In scope + out of scope = invoice: nothing that is not known is left out."""
    items = [item(product, said, str(amount), resource_id=name) for amount, product, said, name in rows]
    assert [Decimal(line["amount"]) for line in lines_of(*items)] == [amount for amount, *_ in rows]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"amount": None}, "invoice 1, page 1, item 1: amount"),
        ({"amount": "12.3.4"}, "amount is '12.3.4'"),
        ({"start_time": None}, "start_time is missing"),
        ({"end_time": "2026-09-30T00:00:00Z"}, "before it starts"),
        ({"start_time": "2026-11-01T00:00:00Z", "end_time": "2026-11-02T00:00:00Z"}, "after 2026-10"),
        ({"start_time": "1990-01-01T00:00:00Z"}, "longer than 20 years"),
        ({"duration": "1e16"}, "duration is .* more than any invoice says"),
        ({"product": 7}, "product is 7, not text"),
        ({"currency": "EUR"}, "item 1: the currency is 'EUR', and its amounts are taken for USD"),
    ],
)
def test_an_item_that_drifted_is_refused_with_its_place(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        lines_of({**GPU, **fields})


def test_a_later_field_is_kept_and_a_month_that_is_another_is_refused() -> None:
    (line,) = lines_of({**GPU, "region": "nyc1"})
    assert '"region": "nyc1"' in line["other_columns"]
    listed = {"invoice_uuid": OCTOBER, "amount": "1", "invoice_period": "2026-09"}
    with pytest.raises(QuarantineError, match="it is of 2026-09, and 2026-10 was asked for"):
        lines_of(GPU, listed=listed)


def test_a_limit_is_waited_out_and_a_token_that_is_refused_is_not_printed() -> None:
    sleeps = Sleeps()
    faults = [Answer(status=429, headers={"Retry-After": "7"}), Answer(body=b'{"invoices": 3}')]
    assert len(fetched(DigitalOcean(faults=faults), sleeps=sleeps)) == 2
    assert sleeps.seconds == [7.0, 2.0]
    with pytest.raises(SourceError, match="billing:read") as refused:
        fetched(DigitalOcean(), environment={"ACME_ADMIN_KEY": "dop_NEVER-PRINT-ME"})
    assert "NEVER-PRINT-ME" not in str(refused.value)


def test_doctor_asks_for_one_invoice() -> None:
    assert SOURCE.probe is not None
    api = DigitalOcean(faults=[Answer(body=b'{"invoices": [], "meta": {"total": 0}}')])
    with serving(api):
        (probe,) = SOURCE.probe(context(api))
        assert probe.ask(5).access == "allowed"
    assert api.asked == [("/v2/customers/my/invoices", {"per_page": "1"})]


def test_a_kind_that_there_is_not_is_a_mistake_in_the_configuration() -> None:
    assert SOURCE.check is not None
    SOURCE.check({"charge_kind": {"Kubernetes Clusters": "gpu_instance"}}, ())
    with pytest.raises(ConfigError, match="gpu_server"):
        SOURCE.check({"charge_kind": {"Kubernetes Clusters": "gpu_server"}}, ())


CSV = (
    f"{HEADER}Droplets,,node-1 (gpu-h100x1-80gb),744,2026-10-01 00:00:00 +0000,2026-11-01 00:00:00 +0000,"
    '"$2,522.16",serving,iaas\n'
    "Floating IPs,,Unused Floating IP - 1.1.1.1,100,2026-10-01 00:00:00 +0000,2026-10-22 18:14:39 +0000,$3.11,,iaas\n"
    "Credits,,Given back,,2026-10-01 00:00:00 +0000,2026-10-31 23:59:59 +0000,-$5.00,,\n"
).encode()


def test_a_csv_is_its_month_and_is_called_as_its_file_is() -> None:
    assert recognise_bytes("x.csv", CSV).source == "digitalocean_invoices"
    delivery = drop("invoice-77.csv", CSV, {})
    lines, totals = landed(delivery)
    assert [(line["bucket"], line["invoice_id"], line["line_number"]) for line in lines] == [
        ("2026-10", "invoice-77", number) for number in (2, 3, 4)
    ]  # fmt: skip
    assert [(line["charge_kind"], line["resource_id"], line["amount"]) for line in lines] == [
        ("gpu_instance", "node-1", "2522.16"), ("network", None, "3.11"), ("credit", None, "-5.00"),
    ]  # fmt: skip
    assert (totals, delivery.from_at, delivery.to_at) == (
        [], datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"$3.11", b"EUR 3.11", "row 3: USD is 'EUR 3.11'"),
        (b"$3.11", b"", "row 3: USD is ''"),
        (b"$3.11", b"-$-3.11", "row 3: USD is"),
        (b"2026-10-22 18:14:39 +0000", b"2026-10-22", "row 3: end is '2026-10-22'"),
        (b",USD,", b",EUR,", "no column USD"),
        (b"-$5.00,,\n", b"-$5.00,,", "no line end"),
    ],
)
def test_a_csv_that_drifted_or_was_cut_is_refused(old: bytes, new: bytes, words: str) -> None:
    with pytest.raises(QuarantineError, match=words):
        parse(CSV.replace(old, new), {})


def test_a_saved_answer_says_no_month_and_is_refused() -> None:
    content = json.dumps({"invoice_items": [GPU], "meta": {"total": 1}}).encode()
    assert recognise_bytes("x.json", content).source == "digitalocean_invoices"
    with pytest.raises(QuarantineError, match="neither of which invoice nor of which month"):
        parse(content, drop("x.json", content, {}).settings)


def test_a_preview_goes_once_the_invoice_is_there_and_two_books_of_a_month_are_named(tmp_path: Path) -> None:
    """B5, B10. By hand: 744.00 over 31 days are 24.00 a day; the preview's 12.00 over 12 days 1.00, then 2.00."""
    api = DigitalOcean()
    with serving(api):
        said = source("digitalocean_invoices", "do", key_env="DO_TOKEN", base_url=api.base_url, horizon="2026-10-01")
        named = {name: value for name, value in said.items() if name != "inbox"}
        project = SmallProject(tmp_path, [named])
        _brought(project, NOW)
        answers = project.build(now=NOW)
        days = "select realized_cost from int_gpu_charges_daily where resource_id = '353624' and usage_date = "
        assert [answers.one(f"{days}'{day}'") for day in ("2026-10-31", "2026-11-12")] == [Decimal(24), Decimal(1)]
        reconciled = "select invoice_id, status, allocated_cost, unallocated_cost from fct_reconciliation_invoice"
        assert answers.rows(f"{reconciled} order by 1") == [
            {"invoice_id": OCTOBER, "status": "ties", "allocated_cost": 744, "unallocated_cost": Decimal("89.89")},
            {"invoice_id": "preview 2026-11", "status": "no_control_total", "allocated_cost": 12,
             "unallocated_cost": 0},
        ]  # fmt: skip
        explained = invoice_explained(answers, project, OCTOBER)
        assert explained.holds, explained.equalities
        api.invoices.append({"invoice_uuid": NOVEMBER, "amount": "60.00", "invoice_period": "2026-11"})
        api.items[NOVEMBER] = [
            {**GPU, "amount": "60.00", "start_time": "2026-11-01T00:00:00Z", "end_time": "2026-12-01T00:00:00Z"}
        ]
        project.sources = [named, source(INVOICE, "do")]
        project.configure()
        by_hand = invoice_csv([("GPU server", "353624", "90.00")], period=("2026-11-01", "2026-12-01"))
        project.drop(INVOICE, "do", "by-hand.csv", by_hand)
        later = datetime(2026, 12, 2, 6, tzinfo=UTC)
        _brought(project, later)
    answers = project.build(now=later)
    charged = "select distinct source, invoice_id from int_gpu_charges_daily where usage_date = '2026-11-12'"
    assert answers.rows(charged) == [{"source": "digitalocean_invoices", "invoice_id": NOVEMBER}]
    assert answers.one(f"{days}'2026-11-12'") == Decimal(2)
    (broken,) = answers.rows("select detail from check_cloud_book_of_record")
    assert broken["detail"].startswith(
        "digitalocean_invoices and invoice_csv are both the book of record of issuer do in 2026-11"
    )
    project.sources = [named, source(INVOICE, "do", role="control")]
    project.configure()
    later += timedelta(hours=1)
    project.project.land_config(later)
    answers = project.build(now=later)
    for check in ("cloud_book_of_record", "gpu_money_conserved", "gpu_time_conserved", "owner_money_conserved"):
        assert answers.rows(f"select * from check_{check}") == []
    assert answers.one("select max(usage_date) from int_gpu_charges_daily") == date(2026, 11, 30)


def invoice_explained(answers: Answers, project: SmallProject, invoice_id: str) -> Explanation:
    opened = project.project
    with Evidence(
        answers.result.snapshot, landing=opened.landing, datasets=shipped_graph().datasets, cache=opened.paths.cache
    ) as evidence:
        return explain_invoice(evidence, invoice_id)


def _brought(project: SmallProject, now: datetime) -> None:
    opened = project.project
    opened.land_config(now)
    brought = ingest(opened, now=now, environment={"DO_TOKEN": KEY}, sleep=Sleeps())
    assert [one.error for one in brought] == [None] * len(brought)
