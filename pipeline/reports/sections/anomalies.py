"""What cost unusually much or little on days of the month, stream by stream."""

from collections.abc import Sequence
from fractions import Fraction

from pipeline.economics.anomaly import HISTORY_WEEKS
from pipeline.economics.exact import to_places
from pipeline.reports import figures
from pipeline.reports.page import Column, Row, Section, Table
from pipeline.reports.sections.month import MOST_LINES, Answer, Month

_STREAM = ("lane", "account", "sub_account_id", "api_key_id", "model", "deployment_id")


def anomalies(month: Month) -> Section:
    """Each stream whose unusual days come to the floor of a message, more and less apart."""
    groups: dict[tuple[object, ...], list[Answer]] = {}
    answers = month.ask("anomalies")
    for row in answers:
        if row["is_unusual"] and row["lane"] != "all":
            groups.setdefault((*(row[name] for name in _STREAM), _above([row]) > 0), []).append(row)
    least = Fraction(month.config.slack.floor.absolute)
    found = sorted(
        (rows for rows in groups.values() if abs(_above(rows)) >= least),
        key=lambda rows: (-abs(_above(rows)), [str(rows[0][name] or "") for name in _STREAM]),
    )
    money = f"{month.currency}"
    table = Table(
        name="anomalies",
        caption="Days that cost unusually much or little",
        columns=(
            Column("Key, deployment or sub-account"),
            Column("Account"),
            Column("Model"),
            Column("Unusual days", is_number=True),
            Column("First"),
            Column("Last"),
            Column("Cost", money, is_number=True, measure="billed, else effective or accrued"),
            Column("Expected", money, is_number=True, measure="expected"),
            Column("More or less", money, is_number=True, measure="difference"),
        ),
        rows=tuple(_row(month, rows) for rows in found[:MOST_LINES]),
        empty="None.",
        note=f"Settled days, each against the median of its weekday in {HISTORY_WEEKS} weeks before: further from it "
        "than five times what those days usually are, and than a fifth; what comes to less than the floor of a message "
        f"({month.priced(month.config.slack.floor.absolute)}) is left out, and is in fct_anomalies_daily.",
    )
    return Section("anomalies", "Unusual days", _sentence(month, found, answers), [table])


def _above(rows: Sequence[Answer]) -> Fraction:
    return sum((Fraction(row["cost_rc"]) - Fraction(row["expected_cost_rc"]) for row in rows), Fraction(0))


def _row(month: Month, rows: Sequence[Answer]) -> Row:
    row = rows[0]
    cost = sum((Fraction(one["cost_rc"]) for one in rows), Fraction(0))
    of = row["deployment_id"] if row["lane"] == "gpu" else row["api_key_id"] or row["sub_account_id"]
    nobodys = {"gpu": "no deployment", "cloud_model": "hosted models"}.get(row["lane"], "no key")
    refused = (
        month.proof.of_time(deployment_id=row["deployment_id"])
        if row["lane"] == "gpu"
        else month.proof.of_money(account=row["account"])
    )
    return Row(
        (
            nobodys if of is None else figures.name(of),
            figures.name(row["account"]),
            "—" if row["model"] is None else figures.name(row["model"]),
            str(len(rows)),
            str(min(one["usage_date"] for one in rows)),
            str(max(one["usage_date"] for one in rows)),
            month.money(to_places(cost, 18)),
            month.money(to_places(cost - _above(rows), 18)),
            month.money(to_places(_above(rows), 18)),
        ),
        refused=refused,
    )


def _sentence(month: Month, found: Sequence[Sequence[Answer]], answers: Sequence[Answer]) -> str:
    days = {row["usage_date"] for row in answers}
    if not days:
        return "No day of this month is settled: none could be compared."
    if not found:
        return f"Of {figures.counted(len(days), 'settled day')} none was unusual by as much as the floor of a message."
    said = []
    for is_more, words in ((True, "more"), (False, "less")):
        sums = [_above(rows) for rows in found if (_above(rows) > 0) == is_more]
        if sums:
            amount = month.priced(to_places(abs(sum(sums, Fraction(0))), 18))
            said.append(f"{figures.counted(len(sums), 'stream')} of spend cost {amount} {words} than usual")
    return f"On unusual days {', and '.join(said)}."
