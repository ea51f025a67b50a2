"""What an API bill charges beside the tokens of requests, in words: of each row of the question `api_other_charges`."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.formats.currency import in_minor_units, priced
from pipeline.reports import figures

_KINDS: Mapping[str, str] = {
    "images": "images",
    "audio": "audio",
    "fine_tune_training": "training of tuned models",
    "tuned_model_hosting": "hosting of tuned models",
    "web_search": "searches",
    "code_execution": "code execution",
    "other": "other charges",
}
_UNITS: Mapping[str, str] = {
    "image": "an image",
    "minute": "a minute",
    "hour": "an hour",
    "million_tokens": "a million tokens",
    "million_characters": "a million characters",
}


def in_words(rows: Iterable[Mapping[str, Any]], *, reporting_currency: str) -> str | None:
    """One sentence; None where there is nothing beside tokens.

    Amounts are the bill's own: where that is not the reporting currency its code is named, and nothing is converted.
    """
    parts = [_part(row, reporting_currency) for row in rows]
    return f"Beside the tokens of requests: {'; '.join(parts)}." if parts else None


def _part(row: Mapping[str, Any], reporting_currency: str) -> str:
    currency, kind = row["billing_currency"], row["other_kind"]

    def written(figure: str) -> str:
        return priced(figure, currency) if currency == reporting_currency else f"{figure} {currency} as billed"

    said = f"{_KINDS.get(kind, kind)} of {row['workload']} {written(in_minor_units(row['billed_cost'], currency))}"
    if row["billed_cost_per_unit"] is not None and row["unit"] is not None:
        said += f" ({written(figures.per_mtok(row['billed_cost_per_unit']))} {_UNITS.get(row['unit'], row['unit'])})"
    if kind == "fine_tune_training":
        return f"{said}, spent once"
    if kind == "tuned_model_hosting":
        daily = written(in_minor_units(row["billed_cost"] / row["days_count"], currency))
        return f"{said}, due whatever is used: {daily} a day of {figures.counted(row['days_count'], 'day')}"
    return said
