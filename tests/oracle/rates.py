"""The ECB's rates, read a second time, and what an amount is in the reporting currency: fractions, rounded once."""

import csv
import io
import zipfile
from datetime import date
from fractions import Fraction

from tests.oracle.landed import DAY, Project, counting_days
from tests.oracle.money import QUANTA

_OLDEST_DAYS = 7
_ONE = Fraction(1)


class Rates:
    """By rate date, how much of each currency a euro was. Reads the CSV, bare or zipped."""

    def __init__(self, project: Project) -> None:
        self.reporting: str = project.config["reporting_currency"]
        self.published: dict[date, dict[str, Fraction]] = {}
        read: dict[str, dict[date, dict[str, Fraction]]] = {}
        for (account, day), delivery in counting_days(project, "reference_rates").items():
            if account != "ecb":
                raise ValueError(f"the oracle reads one feed of rates, not {account}")
            for object_id in delivery.object_ids:
                if object_id not in read:
                    read[object_id] = _read(project.content(object_id))
                if day in read[object_id]:
                    self.published[day] = {**read[object_id][day], "EUR": _ONE}

    def on(self, day: date, currency: str | None) -> Fraction | None:
        """One unit of it in the reporting currency: by the newest date, a week old at most, that has both."""
        if currency == self.reporting:
            return _ONE
        for back in range(_OLDEST_DAYS + 1):
            said = self.published.get(day - back * DAY, {})
            if currency in said and self.reporting in said:
                return said[self.reporting] / said[currency]
        return None

    def convert(self, amount: Fraction | None, currency: str | None, day: date) -> Fraction | None:
        """At the day's rate, to the nearest quantum, halves away from zero; None without a rate."""
        rate = self.on(day, currency)
        if amount is None or rate is None:
            return None
        exact = abs(amount) * rate * QUANTA
        whole, rest = divmod(exact, 1)
        quanta = int(whole) + (1 if rest >= Fraction(1, 2) else 0)
        return Fraction(quanta if amount >= 0 else -quanta, QUANTA)


def _read(content: bytes) -> dict[date, dict[str, Fraction]]:
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (name,) = archive.namelist()
            content = archive.read(name)
    return {
        date.fromisoformat(line.pop("Date")): {
            currency: Fraction(rate) for currency, rate in line.items() if currency and rate != "N/A"
        }
        for line in csv.DictReader(io.StringIO(content.decode("ascii")))
    }
