"""What the monthly job makes of each month."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.config.mail import Addresses
from pipeline.config.values import Section, one_or_more


class Reports(Section):
    """What the monthly job makes of each month, where it puts it, and to whom it is mailed once it is settled.

    `statements`: then too, of each team or cost centre and of what none owns, beside it and where it is published.
    """

    formats: Annotated[
        tuple[Literal["html", "pdf", "md", "xlsx", "csv", "parquet"], ...], BeforeValidator(one_or_more)
    ] = ("html", "pdf", "md", "xlsx", "csv", "parquet")
    statements: Annotated[
        tuple[Literal["team", "cost_centre"], ...],
        BeforeValidator(one_or_more, json_schema_input_type=str | tuple[str, ...]),
    ] = ()
    publish: str | None = Field(default=None, min_length=1)
    mail_to: Addresses = ()
