"""Which export a file is, by what is in it: nobody has to say, and a file that is none of them learns why not.

A source's own `recognise` is asked about files of an inbox that is its own, so some answer for whatever they may turn
out to read. Here they are asked in an order in which the one that is right comes first.
"""

import csv
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.formats.values import csv_header
from pipeline.sources import SOURCES, source_named
from pipeline.sources.bulk import bulk_header

HEAD_BYTES = 65_536
_SAMPLE_ROWS = 50

_PARQUET = b"PAR1"
_INVOICE = "invoice_csv"
# Asked last, in this order: what a gateway's export says of itself, FOCUS's columns, and any table with money in it.
_GENERAL = ("litellm_focus", "focus", _INVOICE)
_GATEWAY = b"custom_llm_provider"
_GATEWAY_NAME = re.compile(r"^usage_\d{8}T\d{6}Z_\d{8}T\d{6}Z\.", re.ASCII)
_MONEY = re.compile(r"amount|cost|total|charge|price|betrag|montant|importe", re.IGNORECASE)
_SAMPLE = re.compile(rb"^(?:#.*\n|\s*\n)*[A-Za-z_:][A-Za-z0-9_:]*(?:\{|[ \t])", re.ASCII)
_BINARY: Mapping[bytes, str] = {
    b"%PDF": "a PDF. Invoices are read as CSV: ask the issuer for one, or type its lines into one",
    b"PK\x03\x04": "a zip or a spreadsheet. Unpack it, or save its table as CSV",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet. Save its table as CSV",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
# Exports that come as a zip.
_ZIPPED: Mapping[str, str] = {"ecb_rates": "a zip of the ECB's rates", "deepseek_usage": "a zip of DeepSeek's usage"}


@dataclass(frozen=True)
class Recognised:
    """What a file is: a source and its dataset, or neither; `reason` says by what, or why not and what to do.

    For `invoice_csv` it is a guess: a table with money in it, whose columns still have to be declared.
    """

    source: str | None
    dataset: str | None
    reason: str


def recognise_file(path: Path) -> Recognised:
    """What lies at `path`. Reads its first bytes only; of Parquet its footer. Raises OSError where it may not."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(_PARQUET):
        return _of_parquet(path.name, path)
    return _of_head(path.name, head)


def recognise_bytes(name: str, content: bytes) -> Recognised:
    """The same of a file's whole content; `name` is what it was called."""
    if content.startswith(_PARQUET):
        return _of_parquet(name, io.BytesIO(content))
    return _of_head(name, content[:HEAD_BYTES])


def _of_parquet(name: str, place: Path | io.BytesIO) -> Recognised:
    """Its columns are named at its end. They are shown to the sources as a CSV would show them."""
    try:
        file = pl.scan_parquet(place, glob=False)
        columns = file.collect_schema().names()
        tags = file.select("Tags").head(_SAMPLE_ROWS).collect() if "Tags" in columns else None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        return Recognised(None, None, f"a Parquet file that cannot be read ({type(error).__name__}). Export it again")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(columns)
    sample = "" if tags is None else "".join(map(str, tags["Tags"].to_list()))
    return _of_head(name, f"{text.getvalue()}{sample}\n".encode(), is_parquet=True)


def _of_head(name: str, head: bytes, *, is_parquet: bool = False) -> Recognised:
    if not head.strip():
        return Recognised(None, None, "empty")
    if (binary := next((said for mark, said in _BINARY.items() if head.startswith(mark)), None)) is not None:
        for zipped in map(source_named, _ZIPPED):
            if zipped is not None and (dataset := zipped.recognise(name, head)) is not None:
                return Recognised(zipped.name, dataset, _ZIPPED[zipped.name])
        return Recognised(None, None, binary)
    if (scrape := _scrape(head)) is not None:
        return Recognised(None, None, scrape)
    text = _unpacked(head)
    header = () if _is_json(text) else bulk_header(text) or ()
    if (first := next(_asked(name, head, text, header), None)) is not None:
        source, dataset = first
        return Recognised(source, dataset, _by_what(source, header))
    return _of_table(name, text, header, is_parquet=is_parquet)


def _asked(name: str, head: bytes, text: bytes, header: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Each source that takes it, the most particular first; a gateway's estimate is told from a bill before FOCUS."""
    for source in SOURCES:
        if source.name not in _GENERAL and (dataset := source.recognise(name, head)) is not None:
            yield source.name, dataset
    is_gateway = _GATEWAY in text or _GATEWAY_NAME.match(name) is not None
    for general in ("litellm_focus", "focus") if is_gateway else ("focus",):
        found = source_named(general)
        if found is not None and header and (dataset := found.recognise(name, text)) is not None:
            yield found.name, dataset


def _is_json(text: bytes) -> bool:
    return text.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _unpacked(head: bytes) -> bytes:
    if not head.startswith(b"\x1f\x8b"):
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def _by_what(source: str, header: tuple[str, ...]) -> str:
    return f"its {len(header)} columns are those of {source}" if header else f"its fields are those of {source}"


def _of_table(name: str, head: bytes, header: tuple[str, ...], *, is_parquet: bool) -> Recognised:
    invoice = source_named(_INVOICE)
    is_table = not is_parquet and invoice is not None and invoice.recognise(name, head) is not None
    if is_table:
        widest = max((csv_header(head, delimiter=mark) for mark in (",", ";", "\t", "|")), key=len)
        if (money := next((cell for cell in widest if _MONEY.search(cell)), None)) is not None:
            return Recognised(
                _INVOICE, "invoice", f"a table of {len(widest)} columns with money in {money!r}: declare its columns"
            )
        shown = ", ".join(widest[:6])
        return Recognised(None, None, f"a table without a column of money ({shown})")
    if b'"reportKeys"' in head:
        return Recognised(
            None, None, "the manifest of a legacy AWS report. Name the report's folder in settings.export of aws_cur"
        )
    if b'"dataFiles"' in head:
        return Recognised(
            None, None, "the manifest of an AWS Data Export. Name the export's folder in settings.export of aws_cur2"
        )
    kind = "Parquet" if is_parquet else "JSON" if _is_json(head) else "a file"
    shown = f" with columns {', '.join(header[:6])}" if header else ""
    return Recognised(None, None, f"{kind}{shown} that is no export breakeven reads")


def _scrape(head: bytes) -> str | None:
    """A saved answer of a /metrics page, which is no export: commands read it by another way."""
    if not _SAMPLE.match(head):
        return None
    engine = next((said for mark, said in ((b"vllm:", "vLLM"), (b"DCGM_FI_", "dcgm-exporter")) if mark in head), None)
    return None if engine is None else f"a saved scrape of {engine}, which is no bill"
