"""One month, looked at now: what ties, whether it may be closed, and its close."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl

from pipeline.build.closing_tables import CLOSE_EVENT, Close, Closing, close_body, closing_of
from pipeline.build.snapshot import Snapshot
from pipeline.cli.close.differences import what_to_look_at
from pipeline.cli.close.order import refuse_before_others
from pipeline.cli.close.saying import say, what_is_closed
from pipeline.cli.events import who
from pipeline.cli.options import emit
from pipeline.decisions.check_results import check_results
from pipeline.decisions.graph import build_project
from pipeline.decisions.invoices_monthly import SCHEMA
from pipeline.economics.closing import LATE
from pipeline.errors import BreakevenError
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.landing.times import stamp
from pipeline.reports.closing import Group, Tolerances, exact_money, groups_of, invoice_in_words, next_month, state_of
from pipeline.reports.figures import counted
from pipeline.reports.invoice_rates import Converted, kept, month_conversions, rates_in_words
from pipeline.reports.questions import Questions

# Without these, sums of lines are not those of the bills. That an invoice's lines add up is what a close is for.
LAWS_OF_MONEY = frozenset(
    {
        "api_book_of_record",
        "api_money_conserved",
        "cloud_book_of_record",
        "cloud_money_conserved",
        "gpu_money_conserved",
    }
)


@dataclass(frozen=True)
class MonthlyClose:
    """One month, looked at now. issuer: whose invoices alone."""

    project: Project
    month: date
    issuer: str | None
    now: datetime
    tolerances: Tolerances
    output_format: str
    is_as_of: bool

    @property
    def period(self) -> dict[str, date]:
        return {"from_date": self.month, "to_date": next_month(self.month)}

    def run(self, *, dry_run: bool) -> None:
        is_over = next_month(self.month) <= self.now.date()
        if not is_over and not dry_run:
            raise BreakevenError(
                f"{self.month:%Y-%m} is not over on {self.now:%Y-%m-%d}. With --dry-run it shows what has come."
            )
        closing = closing_of(self.project.landing.contents().as_of(self.now).events)
        closed = closing.close_of(self.month, self.issuer)
        # What was entered has to be in it; what was fetched since is none of its business, so readers keep theirs.
        snapshot = build_project(self.project, as_of=self.now, make_current=False).snapshot
        with Questions(snapshot) as questions:
            rows = [row for row in questions.ask("close_invoices", **self.period).to_dicts() if self._is_meant(row)]
            groups = groups_of(rows, self.tolerances)
            if closed is not None:
                self._print(groups)
                self._say_closed(closed, questions)
                return
            if not is_over:
                self._print(groups)
                self._conversions(questions, closing, is_over=is_over)
                self._tell(f"{self.month:%Y-%m} is not over on {self.now:%Y-%m-%d}, and cannot be closed yet.")
                return
            if not rows:
                of = "" if self.issuer is None else f" by {self.issuer}"
                raise BreakevenError(printable(f"No bill{of} of {self.month:%Y-%m} has come: nothing to close."))
            self._print(groups)
            still_open = [row for row in rows if closing.close_of(self.month, row["issuer"]) is None]
            for (month, _), before in closing.closes.items():
                self._say_converted(filter(self._is_meant, before.conversions if month == self.month else ()))
            conversions = self._conversions(questions, closing, is_over=is_over)
            self._refuse_unproven(snapshot, questions)
            held_up = [group for group in groups_of(still_open, self.tolerances) if group.holds_up]
            if held_up:
                if self.output_format == "table":
                    self._say_what_to_look_at(questions, held_up)
                    say(f"{self._named} is not closed.", style="red")
                raise SystemExit(1)
            days = [
                day
                for day in self._days(questions)
                if self._is_meant(day) and closing.close_of(self.month, day["issuer"]) is None
            ]
        if dry_run:
            self._tell(f"{self._named} would be closed. Nothing was landed.")
            return
        body = close_body(
            month=self.month,
            issuer=self.issuer,
            snapshot_id=snapshot.snapshot_id,
            as_of=stamp(snapshot.as_of),
            by=who(),
            tolerances=self.tolerances.as_text(),
            invoices=still_open,
            days=days,
            conversions=[one.body() for one in conversions],
        )
        self._refuse_what_came_meanwhile(closing)
        self.project.landing.record(kind=CLOSE_EVENT, subject=f"{self.month:%Y-%m}", body=body, now=self.now)
        self._tell(
            f"{self._named} is closed: snapshot {snapshot.snapshot_id}, sha256 {body['sha256'][:12]}. From now on it "
            "changes only by adjustments in the first month after it that is open."
        )

    def _conversions(self, questions: Questions, closing: Closing, *, is_over: bool) -> list[Converted]:
        """Invoices in another currency than the reporting one, in that; what has no rate is said and stops nothing.
        Returns those that no close has kept yet.
        """
        found, lacking = month_conversions(
            questions.ask,
            closing,
            month=self.month,
            reporting_currency=self.project.config.reporting_currency,
            is_over=is_over,
            is_meant=self._is_of,
        )
        still_open = [one for one in found if closing.close_of(self.month, one.issuer) is None]
        line = rates_in_words(found)
        for text in (*(one.in_words() for one in still_open), *lacking, *filter(None, [line])):
            self._tell(f"  {text}")
        return still_open

    @property
    def _named(self) -> str:
        return f"{self.month:%Y-%m}" if self.issuer is None else f"{self.month:%Y-%m} of {self.issuer}"

    def _is_meant(self, row: Mapping[str, Any]) -> bool:
        return self._is_of(row["issuer"])

    def _is_of(self, issuer: str) -> bool:
        return self.issuer in (None, issuer)

    def _refuse_what_came_meanwhile(self, before: Closing) -> None:
        """Somebody may have closed the month, or entered something of it, while this was built."""
        events = self.project.landing.events()
        refuse_before_others(events, self.month, self.now, is_as_of=self.is_as_of)
        closed_since = {
            issuer for month, issuer in closing_of(events).closes.keys() - before.closes if month == self.month
        }
        if closed_since if self.issuer is None else closed_since & {None, self.issuer}:
            raise BreakevenError(
                printable(f"{self._named} was closed meanwhile, and stays as it was closed: breakeven close --list.")
            )

    def _tell(self, text: str) -> None:
        """For people only: a program reads the rows."""
        if self.output_format == "table":
            say(text)

    def _print(self, groups: Sequence[Group]) -> None:
        if self.output_format != "table":
            rows = [{**row, "state": state_of(row, self.tolerances)} for group in groups for row in group.rows]
            emit(pl.DataFrame(rows, schema={**SCHEMA, "state": pl.String()}, orient="row"), self.output_format)
            return
        for group in groups:
            say(group.in_words())

    def _refuse_unproven(self, snapshot: Snapshot, questions: Questions) -> None:
        """A law that is broken for another issuer's account holds up no close of this one."""
        billed = questions.select("select distinct issuer, account from int_billed_lines_daily order by all").to_dicts()
        others = {f"account:{row['account']}" for row in billed} - {
            f"account:{row['account']}" for row in billed if self._is_meant(row)
        }
        broken = [
            one
            for one in check_results(snapshot)
            if not one.passed and one.law in LAWS_OF_MONEY and one.scope not in others
        ]
        if broken:
            raise BreakevenError(
                printable(
                    f"{self._named} is not closed: {broken[0].law} is broken for {broken[0].scope} "
                    f"({broken[0].detail}) See infra/RUNBOOK.md, Checks."
                )
            )

    def _days(self, questions: Questions) -> list[dict[str, Any]]:
        """What is booked: the month's own days, and what of closed months is due in it."""
        own = questions.ask("close_days", **self.period).to_dicts()
        changes = questions.ask("close_changes", **self.period).to_dicts()
        due = [
            {**change, "booked_cost": change["difference_cost"]}
            for change in changes
            if change["due_month_date"] == self.month
        ]
        return [*own, *due]

    def _say_what_to_look_at(self, questions: Questions, groups: Sequence[Group]) -> None:
        texts = what_to_look_at(
            self.project, questions, groups, now=self.now, tolerances=self.tolerances, period=self.period
        )
        for text in texts:
            say(f"  {text}")

    def _say_converted(self, conversions: Iterable[Mapping[str, str]]) -> None:
        """What a close keeps of invoices in another currency, whatever rates are published since."""
        for one in conversions:
            total = exact_money(Decimal(one["total"]), one["reporting_currency"])
            self._tell(
                f"  {one['invoice_id']} of {one['issuer']} came to {total} at {float(Fraction(one['rate'])):.8g} of "
                f"{one['rate_date']} ({one['rate_source']})."
            )

    def _say_closed(self, closed: Close, questions: Questions) -> None:
        self._tell(
            f"{what_is_closed(closed)} was closed by {closed.by} on {closed.at:%Y-%m-%d %H:%M} UTC, sha256 "
            f"{closed.sha256[:12]}; the figures above are those of then. All of them: breakeven report --month "
            f"{self.month:%Y-%m} --as-of {closed.snapshot_id}"
        )
        conversions = list(filter(self._is_meant, closed.conversions))
        self._say_converted(conversions)
        if (line := rates_in_words([kept(one) for one in conversions])) is not None:
            self._tell(f"  {line}")
        for late in filter(self._is_meant, questions.ask("close_restated", **self.period).to_dicts()):
            if late["status"] != LATE:
                self._tell(f"  Since then, in {late['billing_month_date']:%Y-%m}: {invoice_in_words(late)}.")
                continue
            amount = exact_money(late["adjustments_cost"], late["billing_currency"])
            days = counted(late["line_count"], "day")
            self._tell(f"  Since then, in {late['billing_month_date']:%Y-%m}: {amount} on {days} of {late['account']}.")
        changes = questions.ask("close_changes", **self.period).to_dicts()
        for change in (one for one in changes if one["billing_month_date"] == self.month and self._is_meant(one)):
            money = [exact_money(change[name], change["billing_currency"]) for name in ("booked_cost", "stated_cost")]
            self._tell(
                f"  {change['usage_date']} of {change['account']} was {money[0]}, is {money[1]}: due in "
                f"{change['due_month_date']:%Y-%m}."
            )
