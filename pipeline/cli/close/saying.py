"""Lines that the commands of a close print, and what a close is called in them."""

from pipeline.build.closing_tables import Close
from pipeline.cli.options import console
from pipeline.formats.writing import one_line


def say(text: str, style: str | None = None) -> None:
    """One line, as it is: what an invoice is called may hold anything."""
    console().print(one_line(text), markup=False, style=style)


def what_is_closed(closed: Close) -> str:
    return f"{closed.month:%Y-%m}" if closed.issuer is None else f"{closed.month:%Y-%m} of {closed.issuer}"
