"""What belongs beside money: which of it is not in the reporting currency, and what to do about it."""

from collections.abc import Iterable
from datetime import date

from pipeline.cli.options import console
from pipeline.config.whole import Config
from pipeline.formats.writing import printable
from pipeline.reports.questions import Questions
from pipeline.reports.rates import rate_notes


def unconverted(questions: Questions, config: Config, *, from_date: date, to_date: date) -> list[str]:
    """One line a currency; none where all money of the days is converted."""
    unknown = questions.ask("unknown_costs", from_date=from_date, to_date=to_date).to_dicts()
    return [f"NOT CONVERTED {note}" for note in rate_notes(unknown, questions.ask("rates").to_dicts(), config)]


def print_unconverted(lines: Iterable[str]) -> None:
    for line in lines:
        console().print(printable(line), style="yellow", markup=False, soft_wrap=True)
