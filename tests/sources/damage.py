"""Exports of every format that charges or counts, damaged at random. What each says is read by its text alone
(`damage_says`): nothing is shared with the readers. Parquet is read by another engine than theirs, which sees what of a
damaged file is told differently, not a byte that both read alike.
"""

import gzip
import io
import json
import random
import re
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import duckdb
import polars as pl

from pipeline.errors import QuarantineError
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
    fireworks_costs,
    fireworks_metrics,
    focus,
    focus_usage,
    gcp_billing_export,
    gcp_cost_table,
    invoice_csv,
    litellm_activity,
    litellm_focus,
    litellm_spend_logs,
    mistral_usage,
    modal_billing_csv,
    oci_cost_report,
    openai_costs_api,
    openai_dashboard_csv,
    openrouter_activity,
    openrouter_generations,
    prepaid_balance,
    prepaid_csv,
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
    small_bills,
    test_anthropic_enterprise_costs,
    test_aws_invoices,
    test_digitalocean_invoices,
    test_litellm_activity,
    test_vast_charges,
)
from tests.sources.damage_own import own_formats
from tests.sources.damage_says import (
    Format,
    MisreadError,
    activity_says,
    charges,
    column_read,
    csv_says,
    dollars_say,
    google_csv_says,
    google_says,
    google_table_says,
    json_says,
    lines,
    mistral_says,
    money_says,
    parquet_says,
    total,
)

_NASTY = (
    b"", b"-0", b"NaN", b"Infinity", b"1e400", b"-1e-400", b"0x10", b"1_000", b"1,5", b"1.5.5", b"99999999999999999999",
    b"9223372036854775808", b"null", b"true", b"\xef\xbc\x91", b"\x00", b'"', b"=1+1", b"2026-13-40", b"0001-01-01",
    b"9999-12-31", b"-7.25", b"1E3", b" 3 ", b"USD", b"\xff",
)  # fmt: skip
_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\.)*"|[^\s,;:{}\[\]"]+')
_RECORD = re.compile(rb"\{[^{}]*\},?")


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
            focus.parse, {}, charges(), csv_says("BilledCost"),
        ),
        "oci_cost_report": Format(
            oci.report([oci.row("1.25"), oci.row("-0.5", isCorrection="true"), oci.row("2E-9")]),
            oci_cost_report.parse, {"part": "0001000000000001"}, charges(), csv_says("cost/myCost"),
        ),
        "azure_cost_details": Format(
            azure.details([azure.row("1.25"), azure.row("3.5", Date="11/2/2026"), azure.bought("480")]),
            azure_cost_details.parse, {}, charges(), csv_says("CostInBillingCurrency"),
        ),
        "gcp_billing_export, CSV": Format(
            gcp.flat_csv(_GOOGLE), gcp_billing_export.parse, google, charges(), google_csv_says
        ),
        "gcp_billing_export, JSON": Format(
            gcp.json_lines(_GOOGLE), gcp_billing_export.parse, google, charges(), google_says
        ),
        "gcp_billing_export, Parquet": Format(
            gcp.parquet(_GOOGLE), gcp_billing_export.parse, google,
            lambda frames: total(
                Decimal(str(row["billed_cost"])) for row in frames["charges"].to_dicts()
                if row["charge_category"] != "Credit"
            ),
            parquet_says("cost"), is_text=False,
        ),
        "gcp_cost_table": Format(
            b"Invoice number,5123456789\nCurrency,AUD\nBilling account ID,0X0X0X\n\n"
            b"Project ID,Service description,SKU description,SKU ID,Credit type,Cost type,Usage start date,"
            b"Usage end date,Usage amount,Usage unit,Unrounded cost ($)\n"
            b"acme,Gemini API,tokens,A1,,Usage,2026-11-01,2026-11-30,624,count,270.123456789\n"
            b"acme,Gemini API,tokens,A1,PROMOTION,Usage,2026-11-01,2026-11-30,,,-20.5\n",
            gcp_cost_table.parse, {}, charges(), google_table_says,
        ),
        "aws_cur": Format(
            gzip.decompress(cur_legacy.csv_gz(_CUR)), aws_cur.parse, {"billing_period": cur2.PERIOD},
            lines("line_item_unblended_cost"), csv_says("lineItem/UnblendedCost"),
        ),
        "aws_cur2, CSV": Format(
            unpacked_cur2, aws_cur2.parse, {"billing_period": cur2.PERIOD}, lines("line_item_unblended_cost"),
            csv_says("line_item_unblended_cost"),
        ),
        "aws_cur2, gzip": Format(
            unpacked_cur2, aws_cur2.parse, {"billing_period": cur2.PERIOD}, lines("line_item_unblended_cost"),
            csv_says("line_item_unblended_cost"), pack=gzipped,
        ),
        "aws_cur2, Parquet": Format(
            cur2.parquet(_CUR), aws_cur2.parse, {"billing_period": cur2.PERIOD}, lines("line_item_unblended_cost"),
            parquet_says("line_item_unblended_cost"), is_text=False,
        ),
        "aws_cur2, Parquet where it lies": Format(
            cur2.parquet(_CUR), _read_where_it_lies, {"billing_period": cur2.PERIOD},
            lines("line_item_unblended_cost"), parquet_says("line_item_unblended_cost"), is_text=False,
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
            api_bill_csv.parse, _WIDE, lines(), csv_says("Cost"),
        ),
        "deepseek_usage": Format(
            cost_file, deepseek_usage.parse, {"month": "2026-11", **_NOVEMBER}, lines(), csv_says("cost"),
            pack=_deepseek,
        ),
        "fireworks_costs, JSON": Format(
            json.dumps(fireworks.answer(
                fireworks.cost_row("2026-11-03", "8.400000001"), fireworks.cost_row("2026-11-04", "12", user="u"),
            )).encode(),
            fireworks_costs.parse, _NOVEMBER, lines(), money_says,
        ),
        "fireworks_costs, CSV": Format(
            fireworks.costs_csv("a,2026-11-03,model,m,8.4,USD", "a,2026-11-04,model,n,0.000000001,USD"),
            fireworks_costs.parse, _NOVEMBER, lines(), csv_says("subtotal_usd"),
        ),
        "fireworks_costs, metrics": Format(
            fireworks.metrics(fireworks.event(), fireworks.event(prompt_tokens=7), fireworks.event(prompt_tokens="")),
            fireworks_metrics.parse, _NOVEMBER, column_read(fireworks_metrics.USAGE.name, "prompt_tokens"),
            csv_says("prompt_tokens", optional=True), dataset=fireworks_metrics.DATASET,
        ),
        "mistral_usage": Format(
            json.dumps(mistral.month(mistral.used(
                input=[mistral.entry("input", 11_121), mistral.entry("input", 7, value_paid=3)],
                output=[mistral.entry("output", 1_115, day="2026-11-04")],
            ))).encode(),
            mistral_usage.parse, _NOVEMBER, column_read(mistral_usage.LINES.name, "tokens"), mistral_says,
        ),
        "openrouter_activity, JSON": Format(
            small_bills.openrouter_answer(small_bills.openrouter_row(), small_bills.openrouter_row(usage=1.5)),
            openrouter_activity.parse, _NOVEMBER, lines(), json_says("data", "*", "usage"),
        ),
        "openrouter_activity, CSV": Format(
            f"{small_bills.OPENROUTER_HEADER}\n2026-11-02,m/x,0.35,0,12,600,100,40\n2026-11-03,m/x,1.5,0,1,6,1,0\n".encode(),
            openrouter_activity.parse, _NOVEMBER, lines(), csv_says("Usage"),
        ),
        "runpod_billing": Format(
            json.dumps([
                {"amount": 47.52, "podId": "pod-1", "time": "2026-11-03T00:00:00Z", "timeBilledMs": 86_400_000},
                {"amount": 1.25, "podId": "pod-2", "time": "2026-11-04T00:00:00Z", "timeBilledMs": 1_234_567},
            ]).encode(),
            runpod_billing.parse, _NOVEMBER, charges(), json_says("*", "amount"),
        ),
        "modal_billing_csv": Format(
            b"Object ID,Description,Environment,Interval Start,Resource,Cost,Tags\n"
            b"ap-1,embed,main,2026-11-02,,1.25,\nap-2,train,dev,2026-11-03,A100,10.0,\n",
            modal_billing_csv.parse, _NOVEMBER, charges(), csv_says("Cost"),
        ),
        "focus_usage": Format(
            b"ChargePeriodStart,ChargePeriodEnd,ConsumedQuantity,ConsumedUnit,SkuId\n"
            b"2026-11-02T00:00:00Z,2026-11-02T01:00:00Z,8.5,GPU Hours,h100\n"
            b"2026-11-03T05:00:00Z,2026-11-03T06:00:00Z,16,GPU Hours,h100\n",
            focus_usage.parse, {},
            lambda frames: total(
                Decimal(row["quantity"]) * row["times_stated"] for row in frames[focus_usage.TABLE.name].to_dicts()
            ),
            csv_says("ConsumedQuantity"),
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
            lines(), json_says("invoices", "*", "pages", "*", "invoice_items", "*", "amount"),
        ),
        "digitalocean_invoices, CSV": Format(
            test_digitalocean_invoices.CSV, digitalocean_items.parse, {}, lines(), dollars_say,
        ),
        "vast_charges": Format(
            json.dumps([test_vast_charges.page(test_vast_charges.row(1), test_vast_charges.row(2))]).encode(),
            vast_charges.parse, test_vast_charges.OF_DAY, lines(), json_says("*", "results", "*", "amount"),
        ),
        "vast_charges, older": Format(
            json.dumps(test_vast_charges.OLD[:2]).encode(),
            vast_charges.parse, test_vast_charges.OF_DAY, lines(), json_says("*", "amount"),
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
            anthropic_enterprise_costs.parse, {}, lambda frames: 100 * lines()(frames),
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
            litellm_activity.parse, {}, column_read(litellm_activity.TABLE.name, "spend"), activity_says,
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
        **own_formats(),
    }  # fmt: skip


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
