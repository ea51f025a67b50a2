"""Sources as they are configured now: what each of their datasets is, and whose bill a gateway speaks of."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from pipeline.build.config_tables.table import Row
from pipeline.config.sources import SourceConfig
from pipeline.config.whole import Config
from pipeline.landing.dataset import Dataset

SOURCES: dict[str, pl.DataType] = {
    "source": pl.String(),
    "account": pl.String(),
    "dataset": pl.String(),
    "issuer": pl.String(),
    "role": pl.String(),
    "measure": pl.String(),
    "settle_lag_hours": pl.Int64(),
    "settles_days": pl.Boolean(),
    "currency": pl.String(),
    "is_filtered": pl.Boolean(),
}

ESTIMATED_BILLS: dict[str, pl.DataType] = {
    "source": pl.String(),
    "account": pl.String(),
    "provider": pl.String(),
    "bill_issuer": pl.String(),
    "bill_account": pl.String(),
}


def sources(config: Config, datasets: Sequence[Dataset]) -> Iterator[Row]:
    for source in config.sources:
        for dataset in datasets:
            if dataset.source != source.source:
                continue
            lag, currency = source.settle_lag_hours, source.settings.get("currency")
            yield {
                "source": source.source,
                "account": source.account,
                "dataset": dataset.name,
                "issuer": dataset.issuer or source.account,
                "role": _role(source, dataset),
                "measure": dataset.measure,
                "settle_lag_hours": int(dataset.settle_lag.total_seconds() // 3600) if lag is None else lag,
                "settles_days": dataset.bucket == "utc_day" and dataset.measure != "reference",
                "currency": currency if isinstance(currency, str) else None,
                "is_filtered": source.filtered,
            }


def _role(source: SourceConfig, dataset: Dataset) -> str:
    """Only money has a book. What a control meters is a control too: it is counted nowhere, and no day waits for it.
    What somebody rated is one by its nature: the bill itself is another's.
    """
    if dataset.measure in ("billed", "effective"):
        return source.role
    if dataset.measure == "rated":
        return "control"
    if dataset.measure == "reference":
        return "reference"
    return "control" if source.role == "control" else "metered"


def estimated_bills(config: Config, datasets: Sequence[Dataset]) -> Iterator[Row]:
    """Whose bill a gateway estimates or shapes, by the provider as it names it. No account: nobody's of it is read."""
    rated = {dataset.source for dataset in datasets if dataset.measure in ("rated", "reference")}
    for source in config.sources:
        bills = source.settings.get("bills")
        if source.source not in rated or not isinstance(bills, Mapping):
            continue
        for provider, bill in bills.items():
            issuer, account = (
                (bill.get("issuer"), bill.get("account")) if isinstance(bill, Mapping) else (provider, bill)
            )
            yield {
                "source": source.source,
                "account": source.account,
                "provider": str(provider),
                "bill_issuer": None if account is None else str(issuer),
                "bill_account": None if account is None else str(account),
            }
