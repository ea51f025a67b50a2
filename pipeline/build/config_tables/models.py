"""What is known of models: who publishes their weights, and in which precision they are served."""

from collections.abc import Iterator

import polars as pl

from pipeline.build.config_tables.columns import VALID
from pipeline.build.config_tables.table import ConfigTable, Row
from pipeline.config.whole import Config


def _models(config: Config) -> Iterator[Row]:
    for model in config.models:
        yield {
            "provider": model.provider,
            "model": model.model,
            "weights": model.weights,
            "precision": model.precision,
            "valid_from_date": model.valid_from,
            "valid_to_date": model.valid_to,
        }


MODELS = ConfigTable(
    "config_models",
    _models,
    {
        "provider": pl.String(),
        "model": pl.String(),
        "weights": pl.String(),
        "precision": pl.String(),
        **VALID,
    },
    owner=("provider", "model"),
)

TABLES = (MODELS,)
