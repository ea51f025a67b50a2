"""Letters: by which server, and to whom."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.config.values import EnvironmentName, Section, one_or_more

# Letters, digits and the few marks that need no quoting: no list, no name beside it, no line of a header.
ADDRESS = r"^[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$"

Address = Annotated[str, Field(pattern=ADDRESS)]

Addresses = Annotated[
    tuple[Address, ...], BeforeValidator(one_or_more, json_schema_input_type=str | tuple[Address, ...])
]


class Mail(Section):
    """The SMTP server by which letters go out. Its password is in the variable `password_env`, never here."""

    host: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:-]+$")
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["tls", "starttls", "none"] = "starttls"
    sender: Address = Field(alias="from")
    user: str | None = Field(default=None, pattern=r"^[\x21-\x7e]{1,254}$")
    password_env: EnvironmentName | None = None
