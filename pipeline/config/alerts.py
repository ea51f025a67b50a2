"""Alerts: what is worth a message, when, and where it is told."""

import re
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from pipeline.config.mail import Addresses
from pipeline.config.values import EnvironmentName, Money, Name, Names, Section


class SlackFloor(Section):
    """What is worth a message: money a month of at least `absolute`, and of this `share` of what it is a part of.

    `absolute` is in the reporting currency.
    """

    absolute: Money = Field(default=Decimal(100), ge=0)
    share: Money = Field(default=Decimal("0.05"), ge=0, le=1)


def _minute_of_day(value: object) -> object:
    """`18:00` as minutes. YAML 1.1 reads it as that number by itself, but `08:00` as text."""
    if isinstance(value, str) and (found := re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", value)):
        return int(found[1]) * 60 + int(found[2])
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise ValueError(f"{value!r} is no time zone like Europe/Berlin") from None
    return value


Minute = Annotated[int, BeforeValidator(_minute_of_day, json_schema_input_type=str), Field(ge=0, lt=24 * 60)]


class SlackQuietHours(Section):
    """When nothing is posted but what stops a service: from one local time of day to another, over midnight too."""

    from_minute: Minute = Field(alias="from")
    to_minute: Minute = Field(alias="to")
    time_zone: Annotated[str, AfterValidator(_time_zone)] = "UTC"
    weekends: bool = False


class Slack(Section):
    """`teams`: the channel of what is a team's; else `channel`. The last of a week's posts is a digest of the rest."""

    channel: str | None = None
    token_env: EnvironmentName | None = "SLACK_BOT_TOKEN"
    webhook_env: EnvironmentName | None = None
    app_token_env: EnvironmentName | None = "SLACK_APP_TOKEN"
    on_uncertain: Literal["hold", "repost"] = "hold"
    api_url: str | None = None
    floor: SlackFloor = SlackFloor()
    posts_per_week: int = Field(default=2, ge=1, le=100)
    teams: dict[str, str] = Field(default_factory=dict)
    quiet_hours: SlackQuietHours | None = None


class OutletConfig(Section):
    """Where cases are told beside Slack: a webhook whose URL is in `url_env`, or letters to `to` by `mail`.

    Each outlet is told each case once, by itself. Floor, quiet hours and posts a week are those of `slack`.
    `only_teams`: no cases but those of these teams.
    """

    name: Name
    kind: Literal["webhook", "teams", "discord", "email"]
    url_env: EnvironmentName | None = None
    to: Addresses = ()
    only_teams: Names = ()
    on_uncertain: Literal["hold", "repost"] = "hold"


class SpendGuard(Section):
    """Say at once when an hour of a key's use of a model is `multiple` times what that hour of the week was, and
    `floor` above it: by counters at list prices, in the reporting currency an hour. Needs a run each hour.
    """

    multiple: Money = Field(default=Decimal(3), gt=1, le=1000)
    floor: Money = Field(default=Decimal(50), gt=0)


class RegretMeter(Section):
    """Change sides once waiting has cost `alpha` times what a migration costs, in the reporting currency."""

    one_off: Money = Field(gt=0)
    alpha: Money = Field(default=Decimal(1), gt=0, le=100)


class AlertRule(Section):
    """Hysteresis of the announced state, or a regret meter in its stead (economics.md section 10)."""

    enter_ratio: Money = Decimal("1.10")
    exit_ratio: Money = Decimal("0.90")
    dwell_days: int = Field(default=7, ge=1, le=3650)
    cooldown_days: int = Field(default=14, ge=0, le=3650)
    regret_meter: RegretMeter | None = None
