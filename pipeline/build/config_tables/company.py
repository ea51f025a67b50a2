"""The company: its reporting currency, and when a verdict turns."""

from collections.abc import Iterator

import polars as pl

from pipeline.build.config_tables.columns import MONEY, VALID
from pipeline.build.config_tables.table import ConfigTable, Row
from pipeline.config.whole import Config


def _company(config: Config) -> Iterator[Row]:
    meter = config.alerts.regret_meter
    yield {
        "company": config.company,
        "reporting_currency": config.reporting_currency,
        "enter_ratio": config.alerts.enter_ratio,
        "exit_ratio": config.alerts.exit_ratio,
        "dwell_days": config.alerts.dwell_days,
        "cooldown_days": config.alerts.cooldown_days,
        "regret_one_off_cost": None if meter is None else meter.one_off,
        "regret_alpha": None if meter is None else meter.alpha,
    }


COMPANY = ConfigTable(
    "config_company",
    _company,
    {
        "company": pl.String(),
        "reporting_currency": pl.String(),
        "enter_ratio": MONEY,
        "exit_ratio": MONEY,
        "dwell_days": pl.Int64(),
        "cooldown_days": pl.Int64(),
        "regret_one_off_cost": MONEY,
        "regret_alpha": MONEY,
        **VALID,
    },
)

TABLES = (COMPANY,)
