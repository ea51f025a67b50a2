"""Exports of every format that charges or counts, damaged at random; and what each says, read by its text alone.

Nothing here is shared with the readers: text is read by `csv` and `json`, Parquet by another engine than theirs (which
sees what of a damaged file is told differently, not a byte that both read alike).
"""

import csv
import gzip
import io
import json
import random
import re
import tempfile
import zipfile
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
from urllib3 import HTTPResponse

from pipeline.errors import QuarantineError, SourceError
from pipeline.landing.dataset import Frames, Settings
from pipeline.sources import (
    anthropic_console_csv,
    anthropic_cost_api,
    anthropic_enterprise_costs,
    anthropic_usage_api,
    api_bill_csv,
    aws_cur,
    aws_cur2,
    aws_invoices,
    azure_cost_details,
    deepseek_usage,
    digitalocean_items,
    drivers_csv,
    ecb_rates,
    fireworks_costs,
    fireworks_metrics,
    focus,
    gcp_billing_export,
    gcp_cost_table,
    invoice_csv,
    kube_api,
    litellm_activity,
    litellm_focus,
    litellm_spend_logs,
    mistral_usage,
    modal_billing_csv,
    nvml_spool,
    oci_cost_report,
    openai_costs_api,
    openai_dashboard_csv,
    openai_usage_api,
    openrouter_activity,
    openrouter_generations,
    owned_gpus,
    prepaid_balance,
    prepaid_csv,
    prometheus,
    prometheus_tables,
    runpod_billing,
    vast_charges,
)
from tests.models import cloud_harness
from tests.pipeline import small_project as small
from tests.sources import (
    azure,
    cur2,
    cur_legacy,
    fireworks,
    gcp,
    litellm,
    mistral,
    oci,
    openai_admin_api,
    prometheus_fleet,
    small_bills,
    test_anthropic_enterprise_costs,
    test_aws_invoices,
    test_digitalocean_invoices,
    test_litellm_activity,
    test_vast_charges,
)
from tests.sources.prometheus_api import PrometheusApi

Says = Callable[[bytes], Decimal]
Parse = Callable[[bytes, Settings], Frames]

# A text that says money at 10^-18 may be rounded there, line by line.
TOLERANCE = Decimal("1e-15")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NASTY = (
    b"", b"-0", b"NaN", b"Infinity", b"1e400", b"-1e-400", b"0x10", b"1_000", b"1,5", b"1.5.5", b"99999999999999999999",
    b"9223372036854775808", b"null", b"true", b"\xef\xbc\x91", b"\x00", b'"', b"=1+1", b"2026-13-40", b"0001-01-01",
    b"9999-12-31", b"-7.25", b"1E3", b" 3 ", b"USD", b"\xff",
)  # fmt: skip
_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[^\s,;:{}\[\]"]+')
_RECORD = re.compile(rb"\{[^{}]*\},?")


class UnsaidError(Exception):
    """The text does not say an amount where one has to stand: nobody may read one there."""


class AmbiguousError(Exception):
    """The text can be read in several ways (quotes that do not close, pages of Parquet that another engine refuses)."""


class MisreadError(Exception):
    """A damaged file was read as something that its text does not say, or ended the reader."""


def number(text: Any) -> Decimal:
    if not isinstance(text, str) or _NUMBER.fullmatch(text.strip(" \t\r\n\u00a0")) is None:
        raise UnsaidError(repr(text))
    return Decimal(text.strip())


def total(amounts: Iterator[Decimal]) -> Decimal:
    with localcontext() as context:
        context.prec = 2_000
        return sum(amounts, Decimal(0))


# --- what a text says, by itself --------------------------------------------------------------------------------------


def _records(content: bytes) -> Iterator[dict[str, Any]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnsaidError(str(error)) from None
    if re.search(r"\r(?!\n)", text) is not None:
        raise AmbiguousError("a carriage return that some take for the end of a line")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise AmbiguousError(str(error)) from None
    if not rows:
        raise UnsaidError("nothing")
    header = [_plain(name) for name in rows[0]]
    if len({*header}) < len(header):
        raise AmbiguousError("two columns of one name, blanks and marks aside")
    for row in rows[1:]:
        if any(row):
            yield dict(zip(header, row, strict=False))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def csv_says(
    column: str, *, optional: bool = False, leaves_out: Callable[[Mapping[str, str]], bool] | None = None
) -> Says:
    """The sum of a column. optional: an empty cell says nothing."""

    def says(content: bytes) -> Decimal:
        kept = (row for row in _records(content) if leaves_out is None or not leaves_out(row))
        cells = (row.get(_plain(column)) for row in kept)
        return total(number(cell) for cell in cells if not (optional and cell == ""))

    return says


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise UnsaidError(str(error)) from None


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnsaidError(str(error)) from None


def json_says(*path: str) -> Says:
    """The sum of what stands at a path; `*` is every item of a list, `?` before a name says that it may be missing."""

    def found(value: Any, rest: Sequence[str]) -> Iterator[Decimal]:
        if not rest:
            yield number(value)
            return
        name, *after = rest
        if name == "*":
            if not isinstance(value, list):
                raise UnsaidError("no list")
            for item in value:
                yield from found(item, after)
        elif isinstance(value, dict):
            optional = name.startswith("?")
            inner = value.get(name.removeprefix("?"))
            if not (optional and inner is None):
                yield from found(inner, after)
        else:
            raise UnsaidError("no object")

    def says(content: bytes) -> Decimal:
        return total(found(_json(_text(content)), path))

    return says


def _dollars_say(content: bytes) -> Decimal:
    """A column of `$1,234.56` and `-$5.00`."""
    return total(number(re.sub(r"^(-?)\$", r"\1", row["usd"].strip()).replace(",", "")) for row in _records(content))


def _google_says(content: bytes) -> Decimal:
    """Lines of JSON: cost and credits."""

    def amounts() -> Iterator[Decimal]:
        for line in _text(content).split("\n"):
            if line.strip():
                row = _json(line)
                if not isinstance(row, dict):
                    raise UnsaidError("no object")
                yield number(row.get("cost"))
                for credit in row.get("credits") or ():
                    if not isinstance(credit, dict):
                        raise UnsaidError("no credit")
                    yield number(credit.get("amount"))

    return total(amounts())


def _money_says(content: bytes) -> Decimal:
    """Units and billionths of each row; what JSON leaves out of an amount is 0."""

    def amounts() -> Iterator[Decimal]:
        for row in _json(_text(content)).get("rows", ()):
            money = row["subtotal"]
            yield number(str(money.get("units", "0"))) + number(money.get("nanos", "0")).scaleb(-9)

    try:
        return total(amounts())
    except (AttributeError, TypeError, KeyError) as error:
        raise UnsaidError(str(error)) from None


def _mistral_says(content: bytes) -> Decimal:
    """What was used, whoever paid. Of a damaged price or name nothing is said here."""
    try:
        models = _json(_text(content))["completion"]["models"]
        lanes = [lane for model in models.values() for lane in model.values()]
        return total(number(entry["value"]) for lane in lanes for entry in lane or ())
    except (AttributeError, TypeError, KeyError) as error:
        raise UnsaidError(str(error)) from None


def _google_csv_says(content: bytes) -> Decimal:
    def amounts() -> Iterator[Decimal]:
        for row in _records(content):
            yield number(row.get("cost"))
            for credit in _json(row.get("credits") or "[]") or ():
                yield number(credit.get("amount") if isinstance(credit, dict) else None)

    return total(amounts())


def _google_table_says(content: bytes) -> Decimal:
    at = content.find(b"\n", content.find(b"Currency"))
    headers = list(re.finditer(rb"^.*SKU description.*Unrounded cost.*$", content, re.MULTILINE))
    if at < 0 or not headers:
        raise UnsaidError("no header")
    if len(headers) > 1:
        raise AmbiguousError("two headers: what is above the second is above the table")
    return csv_says("Unrounded cost ($)")(content[headers[0].start() :])


def _parquet_says(column: str) -> Says:
    """As another engine reads it: doubles as the shortest decimals that read as them."""

    def says(content: bytes) -> Decimal:
        try:
            values = pl.read_parquet(io.BytesIO(content), columns=[column])[column].drop_nulls().to_list()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise AmbiguousError(str(error)) from None
        return total(number(repr(value)) for value in values)

    return says


# --- what a reader makes of it ----------------------------------------------------------------------------------------


def column_read(table: str, column: str) -> Callable[[Frames], Decimal]:
    def read(frames: Frames) -> Decimal:
        values = frames[table][column].drop_nulls().cast(pl.String)
        return total(Decimal(value) for value in values)

    return read


@dataclass(frozen=True)
class Format:
    """An export as it should be, its reader, what the reader makes of it and what its text says.

    `pack`: what is around the text when it lands (gzip, ZIP): damage is done inside and outside.
    """

    text: bytes
    parse: Parse
    settings: Mapping[str, Any]
    read: Callable[[Frames], Decimal]
    says: Says
    pack: Callable[[bytes], bytes] = bytes
    is_text: bool = True

    def check(self, content: bytes) -> bool:
        """Whether it was read. MisreadError where it was, and not as what it says, or where another error came."""
        try:
            frames = self.parse(content, self.settings)
        except QuarantineError:
            return False
        except (Exception, pl.exceptions.PanicException) as error:
            raise MisreadError(f"{type(error).__name__}: {error}") from error
        found = self.read(frames)
        try:
            expected = self.says(content if self.pack is bytes else self.text)
        except AmbiguousError:
            return True
        except UnsaidError as error:
            raise MisreadError(f"read as {found}, and its text says no amount: {error}") from error
        if abs(found - expected) > TOLERANCE:
            raise MisreadError(f"read as {found}, and its text says {expected}")
        return True


def _charges(column: str = "billed_cost") -> Callable[[Frames], Decimal]:
    return column_read("charges", column)


def _lines(column: str = "amount") -> Callable[[Frames], Decimal]:
    return column_read("lines", column)


_NOVEMBER = {"window_from": "2026-11-01T00:00:00Z", "window_to": "2026-12-01T00:00:00Z"}
_WIDE = {
    "provider": "groq", "currency": "USD",
    "columns": {"date": "Day", "model": "Model", "amount": "Cost", "input": "Prompt", "output": "Completion"},
}  # fmt: skip
_CUR = [cur2.line(1.25), cur2.line(3.5, line_item_resource_id="i-2"), cur2.tax(0.5), cur2.usage("Credit", -0.75)]
_GOOGLE = [gcp.row(1.25, credits=[gcp.credit(-0.25)]), gcp.row(3.5), gcp.row(0.125, cost_type="tax")]
_DEEPSEEK_AMOUNTS = [
    small_bills.deepseek_amount("input_cache_miss_tokens", "0.00000028", 200_000),
    small_bills.deepseek_amount("output_tokens", "0.00000042", 100_000, key="batch"),
]
_OPENAI = [
    openai_admin_api.bucket(
        f"2026-11-0{day}",
        *({"object": "organization.costs.result", "amount": {"value": value, "currency": "usd"}, "line_item": "gpt"}
          for value in (0.0178872, 1.5)),
    )
    for day in (1, 2)
]  # fmt: skip
_OPENAI_HEADER = "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,organization_name"


def _openai_cost_csv() -> bytes:
    rows = [_OPENAI_HEADER]
    for day, start in enumerate((1_793_491_200, 1_793_577_600), start=1):
        times = f"{start},{start + 86_400},2026-11-0{day}T00:00:00+00:00,2026-11-0{day + 1}T00:00:00+00:00"
        rows += [f"{times},{amount},usd,Personal" for amount in ("0.34090000000000000", "1.25")]
    return "".join(f"{row}\n" for row in rows).encode()


def _deepseek(cost_file: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        amounts = "".join(f"{line}\n" for line in (small_bills.AMOUNT_HEADER, *_DEEPSEEK_AMOUNTS))
        archive.writestr("amount-2026-11.csv", amounts)
        archive.writestr("cost-2026-11.csv", cost_file)
    return packed.getvalue()


def _read_where_it_lies(content: bytes, settings: Settings) -> Frames:
    """As a build reads an object that is Parquet itself: by the expressions of `in_place`, not by `parse`."""
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect(config={"threads": 1}) as connection:
        file.write(content)
        file.flush()
        found = aws_cur2.in_place(Path(file.name), settings)
        if found is None:
            return aws_cur2.parse(content, settings)
        (table,) = found.values()
        refused = " or ".join(f"coalesce({condition}, true)" for condition in table.refused.values())
        cost = table.columns["line_item_unblended_cost"]
        query = f"select {cost} as line_item_unblended_cost, {refused} as is_refused from read_parquet('{file.name}')"
        try:
            frame = pl.DataFrame(connection.sql(query))
        except (duckdb.Error, UnicodeDecodeError) as error:
            raise QuarantineError(str(error)) from None
    if frame["is_refused"].any():
        raise QuarantineError("a line that cannot be counted")
    return {"lines": frame}


def formats() -> dict[str, Format]:
    """Every format, by a name of its own."""
    gzipped = partial(gzip.compress, mtime=0)
    unpacked_cur2 = gzip.decompress(cur2.csv_gz(_CUR))
    cost_file = "".join(
        f"{line}\n"
        for line in (small_bills.COST_HEADER, small_bills.deepseek_cost("0.1500"), small_bills.deepseek_cost(
            "0.0040", wallet="Granted"))
    ).encode()  # fmt: skip
    google = {"files": "whole"}
    return {
        "focus": Format(
            cloud_harness.focus_csv([cloud_harness.line(), cloud_harness.line(BilledCost="-2.5", Tags='{"a":"b"}')]),
            focus.parse, {}, _charges(), csv_says("BilledCost"),
        ),
        "oci_cost_report": Format(
            oci.report([oci.row("1.25"), oci.row("-0.5", isCorrection="true"), oci.row("2E-9")]),
            oci_cost_report.parse, {"part": "0001000000000001"}, _charges(), csv_says("cost/myCost"),
        ),
        "azure_cost_details": Format(
            azure.details([azure.row("1.25"), azure.row("3.5", Date="11/2/2026"), azure.bought("480")]),
            azure_cost_details.parse, {}, _charges(), csv_says("CostInBillingCurrency"),
        ),
        "gcp_billing_export, CSV": Format(
            gcp.flat_csv(_GOOGLE), gcp_billing_export.parse, google, _charges(), _google_csv_says
        ),
        "gcp_billing_export, JSON": Format(
            gcp.json_lines(_GOOGLE), gcp_billing_export.parse, google, _charges(), _google_says
        ),
        "gcp_billing_export, Parquet": Format(
            gcp.parquet(_GOOGLE), gcp_billing_export.parse, google,
            lambda frames: total(
                Decimal(str(row["billed_cost"])) for row in frames["charges"].to_dicts()
                if row["charge_category"] != "Credit"
            ),
            _parquet_says("cost"), is_text=False,
        ),
        "gcp_cost_table": Format(
            b"Invoice number,5123456789\nCurrency,AUD\nBilling account ID,0X0X0X\n\n"
            b"Project ID,Service description,SKU description,SKU ID,Credit type,Cost type,Usage start date,"
            b"Usage end date,Usage amount,Usage unit,Unrounded cost ($)\n"
            b"acme,Gemini API,tokens,A1,,Usage,2026-11-01,2026-11-30,624,count,270.123456789\n"
            b"acme,Gemini API,tokens,A1,PROMOTION,Usage,2026-11-01,2026-11-30,,,-20.5\n",
            gcp_cost_table.parse, {}, _charges(), _google_table_says,
        ),
        "aws_cur": Format(
            gzip.decompress(cur_legacy.csv_gz(_CUR)), aws_cur.parse, {"billing_period": cur2.PERIOD},
            _lines("line_item_unblended_cost"), csv_says("lineItem/UnblendedCost"),
        ),
        "aws_cur2, CSV": Format(
            unpacked_cur2, aws_cur2.parse, {"billing_period": cur2.PERIOD}, _lines("line_item_unblended_cost"),
            csv_says("line_item_unblended_cost"),
        ),
        "aws_cur2, gzip": Format(
            unpacked_cur2, aws_cur2.parse, {"billing_period": cur2.PERIOD}, _lines("line_item_unblended_cost"),
            csv_says("line_item_unblended_cost"), pack=gzipped,
        ),
        "aws_cur2, Parquet": Format(
            cur2.parquet(_CUR), aws_cur2.parse, {"billing_period": cur2.PERIOD}, _lines("line_item_unblended_cost"),
            _parquet_says("line_item_unblended_cost"), is_text=False,
        ),
        "aws_cur2, Parquet where it lies": Format(
            cur2.parquet(_CUR), _read_where_it_lies, {"billing_period": cur2.PERIOD},
            _lines("line_item_unblended_cost"), _parquet_says("line_item_unblended_cost"), is_text=False,
        ),
        "aws_invoices": Format(
            test_aws_invoices.answered(
                test_aws_invoices.summary("A-1", "15.78"), test_aws_invoices.summary("A-2", "-0.0024271659")
            ),
            aws_invoices.parse, {}, column_read(aws_invoices.TABLE.name, "total_amount"),
            json_says("InvoiceSummaries", "*", "BaseCurrencyAmount", "TotalAmount"),
        ),
        "api_bill_csv": Format(
            b"Day,Model,Cost,Prompt,Completion\n2026-11-03,llama,0.10,600,50\n2026-11-04,qwen,2.25,1000,7\n",
            api_bill_csv.parse, _WIDE, _lines(), csv_says("Cost"),
        ),
        "deepseek_usage": Format(
            cost_file, deepseek_usage.parse, {"month": "2026-11", **_NOVEMBER}, _lines(), csv_says("cost"),
            pack=_deepseek,
        ),
        "fireworks_costs, JSON": Format(
            json.dumps(fireworks.answer(
                fireworks.cost_row("2026-11-03", "8.400000001"), fireworks.cost_row("2026-11-04", "12", user="u"),
            )).encode(),
            fireworks_costs.parse, _NOVEMBER, _lines(), _money_says,
        ),
        "fireworks_costs, CSV": Format(
            fireworks.costs_csv("a,2026-11-03,model,m,8.4,USD", "a,2026-11-04,model,n,0.000000001,USD"),
            fireworks_costs.parse, _NOVEMBER, _lines(), csv_says("subtotal_usd"),
        ),
        "fireworks_costs, metrics": Format(
            fireworks.metrics(fireworks.event(), fireworks.event(prompt_tokens=7), fireworks.event(prompt_tokens="")),
            fireworks_metrics.parse, _NOVEMBER, column_read(fireworks_metrics.USAGE.name, "prompt_tokens"),
            csv_says("prompt_tokens", optional=True),
        ),
        "mistral_usage": Format(
            json.dumps(mistral.month(mistral.used(
                input=[mistral.entry("input", 11_121), mistral.entry("input", 7, value_paid=3)],
                output=[mistral.entry("output", 1_115, day="2026-11-04")],
            ))).encode(),
            mistral_usage.parse, _NOVEMBER, column_read(mistral_usage.LINES.name, "tokens"), _mistral_says,
        ),
        "openrouter_activity, JSON": Format(
            small_bills.openrouter_answer(small_bills.openrouter_row(), small_bills.openrouter_row(usage=1.5)),
            openrouter_activity.parse, _NOVEMBER, _lines(), json_says("data", "*", "usage"),
        ),
        "openrouter_activity, CSV": Format(
            f"{small_bills.OPENROUTER_HEADER}\n2026-11-02,m/x,0.35,0,12,600,100,40\n2026-11-03,m/x,1.5,0,1,6,1,0\n".encode(),
            openrouter_activity.parse, _NOVEMBER, _lines(), csv_says("Usage"),
        ),
        "runpod_billing": Format(
            json.dumps([
                {"amount": 47.52, "podId": "pod-1", "time": "2026-11-03T00:00:00Z", "timeBilledMs": 86_400_000},
                {"amount": 1.25, "podId": "pod-2", "time": "2026-11-04T00:00:00Z", "timeBilledMs": 1_234_567},
            ]).encode(),
            runpod_billing.parse, _NOVEMBER, _charges(), json_says("*", "amount"),
        ),
        "modal_billing_csv": Format(
            b"Object ID,Description,Environment,Interval Start,Resource,Cost,Tags\n"
            b"ap-1,embed,main,2026-11-02,,1.25,\nap-2,train,dev,2026-11-03,A100,10.0,\n",
            modal_billing_csv.parse, _NOVEMBER, _charges(), csv_says("Cost"),
        ),
        "prepaid_balance": Format(
            b'{"figures": {"clientBalance": 12.5}, "format": "breakeven.prepaid_balance/1"}', prepaid_balance.parse,
            {"provider": "runpod", "issuer": "runpod", "read_at": "2026-11-03T06:00:00Z"},
            column_read(prepaid_balance.TABLE.name, "balance"), json_says("figures", "clientBalance"),
        ),
        "prepaid_csv": Format(
            b"date,entry,amount,currency,reference\n2026-11-01,balance,100,USD,\n2026-11-03,purchase,500.00,USD,R-1\n",
            prepaid_csv.parse, {"issuer": "groq", "file": "2026"}, column_read(prepaid_csv.TABLE.name, "amount"),
            csv_says("amount"),
        ),
        "drivers_csv": Format(
            b"date,driver,value,per,team,workload\n2026-11-03,tasks,1840.50,,support,\n2026-11-01,customers,412,month,,\n",
            drivers_csv.parse, {"file": "2026"}, column_read(drivers_csv.TABLE.name, "value"), csv_says("value"),
        ),
        "invoice_csv": Format(
            small.invoice_csv([("GPU server", "s-1", "60.00"), ("VAT", "", "12.00")]),
            invoice_csv.parse, small.INVOICE_SETTINGS, column_read(invoice_csv.LINES.name, "amount"),
            csv_says("Amount", leaves_out=lambda row: row.get("item", "").strip() == "TOTAL"),
        ),
        "digitalocean_invoices, JSON": Format(
            test_digitalocean_invoices.month(*test_digitalocean_invoices.IN_OCTOBER), digitalocean_items.parse, {},
            _lines(), json_says("invoices", "*", "pages", "*", "invoice_items", "*", "amount"),
        ),
        "digitalocean_invoices, CSV": Format(
            test_digitalocean_invoices.CSV, digitalocean_items.parse, {}, _lines(), _dollars_say,
        ),
        "vast_charges": Format(
            json.dumps([test_vast_charges.page(test_vast_charges.row(1), test_vast_charges.row(2))]).encode(),
            vast_charges.parse, test_vast_charges.OF_DAY, _lines(), json_says("*", "results", "*", "amount"),
        ),
        "vast_charges, older": Format(
            json.dumps(test_vast_charges.OLD[:2]).encode(),
            vast_charges.parse, test_vast_charges.OF_DAY, _lines(), json_says("*", "amount"),
        ),
        "anthropic_console_csv": Format(
            small.three_days("1.00", "2.50", "3.00"), anthropic_console_csv.parse, {},
            column_read("costs", "cost_usd"), csv_says("cost_usd"),
        ),
        "anthropic_cost_api": Format(
            small.api_page({day: [small.cost_result("123.5"), small.cost_result("7")] for day in small.DAYS}),
            anthropic_cost_api.parse, {}, column_read("costs", "amount"),
            json_says("data", "*", "results", "*", "amount"),
        ),
        "anthropic_enterprise_costs": Format(
            test_anthropic_enterprise_costs.page(
                test_anthropic_enterprise_costs.result("169138.75"), test_anthropic_enterprise_costs.result("-5.25")
            ),
            anthropic_enterprise_costs.parse, {}, lambda frames: 100 * _lines()(frames),
            json_says("data", "*", "results", "*", "amount"),
        ),
        "anthropic_usage_api": Format(
            small.api_page({day: [small.usage_result(output_tokens=1200)] for day in small.DAYS}),
            anthropic_usage_api.parse, {}, column_read(anthropic_usage_api.USAGE.name, "output_tokens"),
            json_says("data", "*", "results", "*", "?output_tokens"),
        ),
        "openai_costs_api": Format(
            openai_admin_api.page(*_OPENAI), openai_costs_api.parse, {}, column_read("costs", "amount"),
            json_says("data", "*", "results", "*", "amount", "value"),
        ),
        "openai_dashboard_csv": Format(
            _openai_cost_csv(), openai_dashboard_csv.parse_cost, {"file": "cost"}, column_read("cost", "amount"),
            csv_says("amount_value", optional=True),
        ),
        "litellm_activity": Format(
            test_litellm_activity.answered(
                test_litellm_activity.day("2026-11-03", openai=0.25, anthropic=1.5),
                test_litellm_activity.day("2026-11-04", anthropic=2e-7),
            ),
            litellm_activity.parse, {}, column_read(litellm_activity.TABLE.name, "spend"), _activity_says,
        ),
        "litellm_focus": Format(
            litellm.export_csv([litellm.row("2026-11-03", "0.25"), litellm.row("2026-11-04", "1.5", team="team-2")]),
            litellm_focus.parse, {"exported_until": "20261105T000000Z"},
            column_read(litellm_focus.ESTIMATES.name, "billed_cost"), csv_says("BilledCost"),
        ),
        "litellm_spend_logs": Format(
            json.dumps([
                {"request_id": f"c-{number}", "startTime": "2026-11-03T09:15:02.123000Z", "model": "claude-haiku-4-5",
                 "custom_llm_provider": "anthropic", "api_key": "ab" * 32, "prompt_tokens": 1000,
                 "completion_tokens": 200 + number, "spend": 0.00123, "call_type": "acompletion"}
                for number in range(3)
            ]).encode(),
            lambda content, said: litellm_spend_logs.parse(litellm_spend_logs.reduced(content), said), {},
            column_read(litellm_spend_logs.REQUESTS.name, "completion_tokens"), json_says("*", "?completion_tokens"),
        ),
        "openrouter_generations": Format(
            b"generation_id,created_at,cost_total,byok_usage_inference,tokens_prompt,tokens_completion,tokens_reasoning,"
            b"tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,api_key_name\n"
            b"gen-1,2026-11-03 09:15:02.123,0.00012,0,1000,200,,900,anthropic/haiku,Anthropic,,,,search\n"
            b"gen-2,2026-11-03 09:16:02.123,0.00012,0,1000,7,,,anthropic/haiku,Anthropic,,,,search\n",
            lambda content, said: openrouter_generations.parse(openrouter_generations.reduced(content), said), {},
            column_read(openrouter_generations.GENERATIONS.name, "tokens_completion"),
            csv_says("tokens_completion", optional=True),
        ),
        "nvml_spool": Format(
            small.spool_file("2026-11-01"), nvml_spool.parse, {}, _spool_rows, _spool_lines,
        ),
        "owned_gpus": Format(
            json.dumps(_OWNED).encode(), owned_gpus.parse, {}, column_read(owned_gpus.CHARGES.name, "amount"),
            _owned_says,
        ),
        "openai_usage_api": Format(
            openai_admin_api.page(*(openai_admin_api.bucket(f"2026-11-0{day}", _USED, _USED) for day in (1, 2))),
            openai_usage_api.SOURCE.datasets[0].parse, {},
            column_read(openai_usage_api.SOURCE.datasets[0].tables[0].name, "input_tokens"),
            json_says("data", "*", "results", "*", "?input_tokens"),
        ),
        "prometheus": Format(
            _SCRAPED, prometheus_tables.parse_gpus, {},
            column_read(prometheus_tables.GPU_SAMPLES.name, "util_gpu_pct"), _scrapes_say,
        ),
        "kube_api": Format(_NODES, _cluster, {}, column_read("nodes", "gpu_count"), _cluster_says),
        "ecb_rates": Format(
            b"Date,USD,JPY,\n2026-11-19,1.1201,175.1,\n2026-11-18,1.1190,N/A,\n",
            ecb_rates.parse, {}, column_read("rates", "rate"), _ecb_says,
        ),
    }  # fmt: skip


# --- what is no vendor's export: our own records and declarations, and answers to questions of ours -------------------


def _spool_lines(content: bytes) -> Decimal:
    """Whatever becomes of a line, it is in a table, refused by name or read."""
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return Decimal(sum(1 for line in lines if line.strip()))


def _spool_rows(frames: Frames) -> Decimal:
    return Decimal(frames[nvml_spool.GPU_SAMPLES.name].height + frames[nvml_spool.AGENT_RECORDS.name].height)


_OWNED = {
    "schema": owned_gpus.SCHEMA, "from": "2026-10-01", "to": "2026-11-15",
    "assets": [
        {"asset_id": f"node-{number}", "host": f"h-{number}", "gpu_count": 4, "capex": "100", "residual": "100",
         "months": 48, "in_service": day, "currency": "USD", "hosting_monthly": hosting}
        for number, day, hosting in ((1, "2026-01-01", "450.00"), (2, "2026-10-20", "93"))
    ],
}  # fmt: skip


def _owned_says(content: bytes) -> Decimal:
    """What hosting comes to, by days of the calendar. What wears out is added up elsewhere: of it nothing is said."""
    said = _json(_text(content))
    try:
        start, stop = date.fromisoformat(said["from"]), date.fromisoformat(said["to"])
        found = Fraction(0)
        for asset in said["assets"]:
            if Decimal(asset["capex"]) != Decimal(asset["residual"]) or asset.get("power_watts") is not None:
                raise AmbiguousError("it wears out, or takes power")
            day = max(start, date.fromisoformat(asset["in_service"]))
            end = min(stop, date.fromisoformat(asset["out_of_service"])) if asset.get("out_of_service") else stop
            while day < end and asset.get("hosting_monthly") is not None:
                found += Fraction(asset["hosting_monthly"].strip()) / monthrange(day.year, day.month)[1]
                day += timedelta(days=1)
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        raise AmbiguousError(f"spelled as nobody does: {error}") from None
    return Decimal(found.numerator) / Decimal(found.denominator)


_USED = {"object": "organization.usage.completions.result", "input_tokens": 1200, "output_tokens": 40,
         "num_model_requests": 3, "model": "gpt-5", "project_id": "p"}  # fmt: skip


def _scraped() -> bytes:
    """An answer to the question for dcgm-exporter's series, as it lands: twenty minutes of one GPU."""
    start, stop = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, 0, 20, tzinfo=UTC)
    fleet = prometheus_fleet.Fleet(start=start, stop=stop, gpus=[prometheus_fleet.Gpu("GPU-1")], every_ms=60_000)
    asked = {"query": f"{prometheus.DCGM.selector({}, jobs=[])}[1200000ms]", "time": f"{stop.timestamp() - 0.001:.3f}"}
    answer = PrometheusApi(series=fleet.series()).answer("/api/v1/query", list(asked.items()), {})
    return prometheus.payload_of(
        prometheus.DCGM, prometheus.DCGM.selector({}, jobs=[]), start, stop, gzip.decompress(answer.body)
    ).content


def _scrapes_say(content: bytes) -> Decimal:
    """Of what another number, label or moment would be read as, nothing is said: it is another scrape."""
    if content != _SCRAPED:
        raise AmbiguousError("another answer")
    return Decimal(20 * 80)


_SCRAPED = _scraped()


def _cluster(content: bytes, settings: Settings) -> Frames:
    """A list of nodes as the API of Kubernetes answers."""

    class Pool:
        def request(self, *_: Any, **__: Any) -> Any:
            return HTTPResponse(body=io.BytesIO(content), status=200, preload_content=False)

    try:
        nodes = list(kube_api._nodes(list(kube_api._listed(Pool(), "https://x/api/v1/nodes"))))  # type: ignore[arg-type]
    except SourceError as error:
        raise QuarantineError(str(error)) from None
    return {
        "nodes": pl.DataFrame({"gpu_count": [str(node.gpu_count) for node in nodes]}, schema={"gpu_count": pl.String()})
    }


def _cluster_says(content: bytes) -> Decimal:
    found = json.loads(content, object_pairs_hook=dict)
    counts: list[Decimal] = []
    for item in found["items"]:
        capacity = (item.get("status") or {}) if isinstance(item, dict) else {}
        capacity = (capacity.get("capacity") or {}) if isinstance(capacity, dict) else {}
        for name, value in capacity.items() if isinstance(capacity, dict) else ():
            if re.search(r"(?:^|[./])gpu$", name) and re.fullmatch("[0-9]+", str(value), re.ASCII):
                counts.append(Decimal(str(value)))
    return total(iter(counts))


_NODES = json.dumps({
    "kind": "NodeList", "metadata": {}, "items": [
        {"metadata": {"name": f"node-{number}", "labels": {"nvidia.com/gpu.product": "H100"}},
         "status": {"capacity": {"cpu": "64", "nvidia.com/gpu": str(number)}}}
        for number in (8, 4)
    ],
}).encode()  # fmt: skip


def _activity_says(content: bytes) -> Decimal:
    """What each day's providers, or the day beyond them, come to. Sums of floats differ by less than is told here."""
    said = _json(_text(content))
    found = []
    for result in said["results"]:
        whole = number(result["metrics"].get("spend"))
        parts = [number(one["metrics"].get("spend")) for one in result["breakdown"].get("providers", {}).values()]
        left = whole - sum(parts, Decimal(0))
        found += [*parts, *([left] if abs(left) > Decimal("1e-9") * max(1, len(parts)) else [])]
    return total(iter(found))


def _ecb_says(content: bytes) -> Decimal:
    return total(
        number(cell)
        for row in _records(content)
        for name, cell in row.items()
        if name not in ("date", "") and cell not in ("N/A", "")
    )


# --- damage -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Damage:
    """How a file is damaged, drawn from a chance of its own; `splice` has others' bytes to draw on."""

    chance: random.Random
    others: Sequence[bytes] = field(default=())

    def done_to(self, content: bytes, *, is_text: bool) -> bytes:
        kinds = [self._cut, self._lost, self._doubled, self._changed, self._spliced]
        if is_text:
            kinds += [self._token, self._token, self._line, self._record]
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            content = self.chance.choice(kinds)(content)
        return content

    def _span(self, content: bytes) -> tuple[int, int]:
        at = self.chance.randrange(len(content) + 1)
        return at, at + self.chance.randint(1, 400)

    def _cut(self, content: bytes) -> bytes:
        return content[: self._span(content)[0]]

    def _lost(self, content: bytes) -> bytes:
        start, stop = self._span(content)
        return content[:start] + content[stop:]

    def _doubled(self, content: bytes) -> bytes:
        start, stop = self._span(content)
        return content[:stop] + content[start:]

    def _changed(self, content: bytes) -> bytes:
        start, _ = self._span(content)
        return content[:start] + bytes([self.chance.randrange(256)]) + content[start + 1 :]

    def _spliced(self, content: bytes) -> bytes:
        other = self.chance.choice(self.others) if self.others else content
        return content[: self._span(content)[0]] + other[self._span(other)[0] :]

    def _token(self, content: bytes) -> bytes:
        tokens = list(_TOKEN.finditer(content))
        if not tokens:
            return content
        start, stop = self.chance.choice(tokens).span()
        other = self.chance.choice((*_NASTY, self.chance.choice(tokens).group()))
        return content[:start] + other + content[stop:]

    def _line(self, content: bytes) -> bytes:
        lines = content.splitlines(keepends=True)
        if not lines:
            return content
        at, to = self.chance.randrange(len(lines)), self.chance.randrange(len(lines))
        moved = self.chance.choice((0, 1, 2))
        lines[at : at + 1] = [lines[at]] * moved
        if moved == 1 and to < len(lines):
            lines[at], lines[to] = lines[to], lines[at]
        return b"".join(lines)

    def _record(self, content: bytes) -> bytes:
        records = list(_RECORD.finditer(content))
        if not records:
            return content
        start, stop = self.chance.choice(records).span()
        once = content[start:stop]
        return (
            content[:start] + self.chance.choice((b"", once + once, once.rstrip(b",") + b"," + once)) + content[stop:]
        )


def damage_files(chance: random.Random, *, files: int, names: Sequence[str] = ()) -> dict[str, int]:
    """Damage so many files, every format in turn, and read each. Returns how many were damaged and how many of them
    read. MisreadError, with the format, the damage and what is wrong.
    """
    known = formats()
    chosen = list(names or known)
    texts = [one.text for one in known.values()]
    counted = {"damaged_files": 0, "damaged_files_read": 0}
    for turn in range(files):
        name = chosen[turn % len(chosen)]
        one = known[name]
        damage = Damage(chance, [*texts, one.text, one.text])
        outside = one.pack is not bytes and chance.random() < 0.3
        whole = one.pack(one.text)
        inner = one.text if outside else damage.done_to(one.text, is_text=one.is_text)
        content = damage.done_to(whole, is_text=False) if outside else one.pack(inner)
        try:
            counted["damaged_files_read"] += replace(one, text=inner).check(content)
        except MisreadError as error:
            raise MisreadError(f"{name}, file {turn}: {error}\n{content[:2_000]!r}") from error
        counted["damaged_files"] += 1
    return counted
