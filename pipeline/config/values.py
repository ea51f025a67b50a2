"""What a value in `breakeven.yaml` may be: money, days, names."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _decimal_from_yaml(value: object) -> object:
    """YAML reads 2.69 as a float; its shortest decimal spelling is what the person wrote."""
    return str(value) if isinstance(value, float) else value


# What DECIMAL(38,18) holds exactly: a rate that it cannot hold would be another rate.
Money = Annotated[Decimal, BeforeValidator(_decimal_from_yaml), Field(max_digits=38, decimal_places=18)]


def _not_a_number(value: object) -> object:
    """A number is no day: it would be read as seconds since 1970."""
    if isinstance(value, (int, float)):
        raise ValueError("it must be a date like 2026-10-01")
    return value


Day = Annotated[date, BeforeValidator(_not_a_number)]


def _instant(value: object) -> object:
    """A moment to the second, in UTC. Without its offset it could be any of a day's: it is refused."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError("it must be a moment with its offset, like 2026-10-27T11:30:00Z")
    if value.microsecond:
        raise ValueError("it must be a whole second")
    return value.astimezone(UTC)


def _text_of_number(value: object) -> object:
    """An invoice number is its digits, whether or not somebody put it in quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


InvoiceNumber = Annotated[
    str, BeforeValidator(_text_of_number, json_schema_input_type=str | int), Field(min_length=1, max_length=200)
]

Instant = Annotated[datetime, BeforeValidator(_instant, json_schema_input_type=datetime)]

# A variable's name: never the secret itself, which would be landed with the configuration.
EnvironmentName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$")]

OwnerName = Annotated[str, Field(min_length=1, max_length=200)]


def one_or_more(value: object) -> object:
    """A single entry stands for a list of it."""
    return [value] if isinstance(value, (str, Mapping)) else value


Names = Annotated[tuple[str, ...], BeforeValidator(one_or_more, json_schema_input_type=str | tuple[str, ...])]


class Section(BaseModel):
    """A part of the file: a key that it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
