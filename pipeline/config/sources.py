"""Sources: which exports are read, whose they are, and where they drop."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pipeline.config.values import Day, EnvironmentName, Name, Section

# What a person may write as one entry: both exports of one Admin API, of one key.
BOTH_OF_AN_API: Mapping[str, tuple[str, ...]] = {
    "anthropic_api": ("anthropic_cost_api", "anthropic_usage_api"),
    "openai_api": ("openai_costs_api", "openai_usage_api"),
}


class SourceConfig(Section):
    """One configured export: its format, whose account it is, where its files drop, its own settings.

    `anthropic_api` and `openai_api` stand for both exports of that API, what it cost and what was used. `filtered`: the
    export leaves out lines that the invoice has, so that a month ties to the export and not to the invoice. `owner`:
    the team that is told when it is late.
    """

    source: Name
    account: Name
    inbox: str | None = None
    key_env: EnvironmentName | None = None
    base_url: str | None = None
    horizon: Day | None = None
    settle_lag_hours: int | None = Field(default=None, ge=0, le=24 * 60)
    role: Literal["book", "control"] = "book"
    filtered: bool = False
    owner: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
