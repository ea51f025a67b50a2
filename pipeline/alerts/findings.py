"""What there is to say beside verdicts: waste, budgets, prepaid accounts, sources, restated months. Pure.

Rows are those of `sql/reports`. Each function gives every subject that it knows, also those that need nobody, so that
what was said of them can be ended.
"""

import shlex
from calendar import monthrange
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

from pipeline.alerts.finding import Finding
from pipeline.alerts.text import inert, money
from pipeline.alerts.told import CALM, DONE, WRONG, EventLike, events_by_subject, last_settled
from pipeline.economics.exact import to_places
from pipeline.economics.worth_saying import Floor

Row = Mapping[str, Any]

# Four weeks have every weekday four times; a saving is not read off less than a week.
WINDOW_DAYS = 28
LEAST_DAYS = 7
# A prepaid balance is told at two weeks, once more at three days, and no longer at four weeks.
RUNWAY_LOW_DAYS = 14
RUNWAY_LAST_DAYS = 3
RUNWAY_CALM_DAYS = 28
# A balance is as old as the newest settled day of its bill: older than this, it is not known what was used since.
RUNWAY_STALE_DAYS = 7
# Whole days after the day by which a source should have settled.
LATE_DAYS = 2
_NAME = 80


def waste_findings(
    rows: Iterable[Row], *, day: date, floor: Floor, currency: str, teams: Mapping[str | None, str | None]
) -> list[Finding]:
    """Of each deployment, what GPUs that nothing needed come to a month, from the settled days to `day`.

    Rows: alert_waste.sql. The days are the 28 that end with the newest one; where they are fewer than 7, nothing is
    said. teams: whose a deployment is.
    """
    known = [row for row in rows if row["usage_date"] <= day]
    newest = max((row["usage_date"] for row in known), default=None)
    if newest is None:
        return []
    known = [row for row in known if row["usage_date"] > newest - timedelta(days=WINDOW_DAYS)]
    settled = {row["usage_date"] for row in known}
    by_pool: dict[str | None, list[Row]] = {}
    for row in known:
        by_pool.setdefault(row["deployment_id"], []).append(row)
    found = [
        _waste(pool, of_pool, settled=settled, floor=floor, currency=currency, team=teams.get(pool))
        for pool, of_pool in by_pool.items()
        if len(settled) >= LEAST_DAYS
    ]
    return sorted(found, key=lambda one: one.subject)


def waste_subject(deployment: str | None) -> str:
    """None: GPUs that no deployment holds."""
    return f"waste:{deployment if deployment is not None else '(no deployment)'}"


def runway_subject(row: Row) -> str:
    """Of a row of fct_prepaid_balances_daily."""
    return f"runway:{row['issuer']}/{row['account']}/{row['billing_currency']}"


def _waste(
    pool: str | None,
    rows: Sequence[Row],
    *,
    settled: Collection[date],
    floor: Floor,
    currency: str,
    team: str | None,
) -> Finding:
    since, newest, days = min(settled), max(settled), len(settled)
    month_days = monthrange(newest.year, newest.month)[1]
    waste = _a_month(rows, "waste_cost_rc", days, month_days)
    bill = _a_month(rows, "bill_cost_rc", days, month_days)
    hours = round(Fraction(sum(int(row["waste_gpu_milliseconds"]) for row in rows), 3_600_000))
    unknown = sum(row["unknown_count"] for row in rows)
    amount = to_places(waste, 18)
    name = inert(pool, _NAME) if pool is not None else "GPUs of no deployment"
    part = f", {round(100 * waste / bill)}% of its bill" if bill > 0 else ""
    said = money(amount, currency)
    return Finding(
        subject=waste_subject(pool),
        state="wasting",
        usage_date=newest,
        headline=f"{name}: {said} a month of GPUs that nothing needed",
        do=(
            "Release replicas, or fill them; breakeven advice says which, in which order."
            if pool is not None
            else "Give them to a deployment, or give them back."
        ),
        why=(
            f"{hours:,} GPU-hours of {days} settled days from {since} UTC were more replicas than the hours needed, "
            "could have been off, or had nothing loaded."
        ),
        by_when=f"No deadline is known; each month about {said} more buys nothing.",
        at_stake=f"{said} a month at this rate{part}.",
        how_sure="Bills, split by telemetry and declared capacity; unobserved hours are not in it. As cash it comes "
        "back where a whole billed resource can go: breakeven waste --by run.",
        unknown=f"The cost of {unknown} charges." if unknown else "Nothing that this sum reads.",
        command=f"breakeven waste --by line --from {since} --to {newest + timedelta(days=1)}",
        team=team,
        pool=pool,
        saving_rc_per_month=amount,
        opens=floor.is_reached(waste, whole=bill),
        is_calm=floor.is_left(waste, whole=bill),
    )


def _a_month(rows: Iterable[Row], name: str, days: int, month_days: int) -> Fraction:
    known = sum((Fraction(row[name]) for row in rows if row[name] is not None), Fraction(0))
    return known * month_days / days


def runway_findings(rows: Iterable[Row], *, day: date) -> list[Finding]:
    """Of each prepaid account, for how many days from `day` on its newest known balance lasts.

    Rows: fct_prepaid_balances_daily, those with a closing balance. Nothing is said where nobody knows. A balance older
    than a week is not known any more: that is said, as no emergency, where it would be low by now.
    """
    newest: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = row["issuer"], row["account"], row["billing_currency"]
        if row["usage_date"] <= day and (key not in newest or row["usage_date"] > newest[key]["usage_date"]):
            newest[key] = row
    return [
        _runway(*key, row=row, day=day) for key, row in sorted(newest.items()) if row["runway_days_count"] is not None
    ]


def _runway(issuer: str, account: str, currency: str, *, row: Row, day: date) -> Finding:
    empty = row["usage_date"] + timedelta(days=row["runway_days_count"])
    left = max((empty - day).days, 0)
    name = inert(" ".join(dict.fromkeys((issuer, account))), _NAME)
    balance, daily = money(row["closing_balance_cost"], currency), money(row["daily_used_cost"], currency)
    if (day - row["usage_date"]).days > RUNWAY_STALE_DAYS:
        return _stale_runway(name, balance, daily, row=row, day=day, empty=empty)
    is_last = left <= RUNWAY_LAST_DAYS
    lasts = f"lasts {left} day{'' if left == 1 else 's'}" if empty >= day else f"should be used up since {empty} UTC"
    return Finding(
        subject=runway_subject(row),
        state="about_to_run_out" if is_last else "running_low",
        usage_date=row["usage_date"],
        headline=f"{name}: prepaid balance {lasts}",
        do="Top it up." if left <= RUNWAY_LOW_DAYS else "Nothing: it lasts.",
        why=f"{balance} were left after {row['usage_date']} UTC, and {daily} are used a day.",
        by_when=f"By {empty} UTC: then requests are refused.",
        at_stake=f"{balance} left; what it serves stops when it is used up.",
        how_sure="Stated balances and settled days of the bill; a day's use is the mean of those known among 28.",
        unknown=f"What was used since {row['usage_date']} UTC.",
        command="breakeven costs",
        opens=left <= RUNWAY_LOW_DAYS,
        is_calm=left > RUNWAY_CALM_DAYS,
        is_urgent=is_last,
        milder_than=frozenset() if is_last else frozenset({"about_to_run_out"}),
    )


def _stale_runway(name: str, balance: str, daily: str, *, row: Row, day: date, empty: date) -> Finding:
    """Nobody knows what it holds: it may be used up, and it may have been topped up."""
    would_last = (empty - day).days
    is_calm = would_last > RUNWAY_CALM_DAYS
    return Finding(
        subject=runway_subject(row),
        state="not_known",
        usage_date=row["usage_date"],
        headline=f"{name}: prepaid balance not known since {row['usage_date']} UTC",
        do="Write down what the provider shows now, and see why its bill does not settle: breakeven doctor.",
        why=f"{balance} were left then, {(day - row['usage_date']).days} days ago; {daily} were used a day.",
        by_when=f"At that use and without a purchase it {'lasts until' if would_last >= 0 else 'was used up on'} "
        f"{empty} UTC.",
        at_stake="What the account serves stops when it is used up.",
        how_sure="Not sure: what was used and bought since is not known.",
        unknown=f"The balance, since {row['usage_date']} UTC.",
        command="breakeven costs",
        opens=would_last <= RUNWAY_LOW_DAYS,
        is_calm=is_calm,
        is_of_settled_days=False,
        milder_than=frozenset({"about_to_run_out", "running_low"}),
    )


def budget_findings(rows: Iterable[Row], *, day: date, floor: Floor, currency: str) -> list[Finding]:
    """Of each budget of the month of `day`, and of the one before: its last days settle when it is over. What the month
    before came to opens no case beside one that this month has to open anyway: that one says it.

    Rows: fct_budgets_monthly. A budget of which too little is known is not among them: it ends nothing either.
    """
    this_month = day.replace(day=1)
    found = {}
    for row in rows:
        if row["month_from_date"] in (this_month, month_before(day)) and row["status"] != "unknown":
            key = row["scope"], row["scope_name"], row["month_from_date"]
            found[key] = _budget(row, day=day, floor=floor, currency=currency)
    for (scope, name, month), past in list(found.items()):
        present = found.get((scope, name, this_month))
        if month < this_month and past.state == "over" and present is not None and present.opens:
            found[scope, name, month] = replace(past, opens=False)
            why = f"{present.why} Last month, {month:%Y-%m}: {past.at_stake}"
            found[scope, name, this_month] = replace(present, why=why)
    return list(found.values())


def month_before(day: date) -> date:
    """The first day of the month before that of `day`."""
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def overspend_subject(row: Row) -> str:
    """Of a row of fct_budgets_monthly."""
    scope = "/".join(filter(None, (row["scope"], row["scope_name"])))
    return f"overspend:{row['month_from_date']:%Y-%m}/{scope}"


# By whether its month is over.
_WHAT_TO_DO_ABOUT_A_BUDGET = {
    False: "Spend less, or raise the budget in breakeven.yaml, dated.",
    True: "See what made it so, and set the budget of the months to come, dated: breakeven costs --bridge.",
}


def _budget(row: Row, *, day: date, floor: Floor, currency: str) -> Finding:
    whose = (
        row["scope"]
        if row["scope_name"] is None
        else f"{row['scope'].replace('_', ' ')} {inert(row['scope_name'], _NAME)}"
    )
    month, budget, forecast = f"{row['month_from_date']:%Y-%m}", row["budget_cost_rc"], row["forecast_cost_rc"]
    is_over = row["status"] == "over"
    spent = row["settled_cost_rc"] if row["settled_cost_rc"] is not None else row["settled_known_cost_rc"]
    heading = forecast if forecast is not None else spent
    above = Fraction(heading) - Fraction(budget)
    said = money(to_places(above, 18), currency)
    at_least = "" if row["settled_cost_rc"] is not None else "At least "
    days = f"{row['settled_days_count']} of {row['month_days_count']} days"
    is_within = row["status"] == "within"
    is_past = row["month_from_date"] < day.replace(day=1)
    if is_within:
        heads_for = "within its budget"
    elif is_past and is_over:
        heads_for = f"the month is over, {said} above its budget{'' if forecast is not None else ' so far'}"
    elif forecast is None:
        heads_for = f"budget spent, {said} above it so far"
    else:
        heads_for = f"budget {'spent, the month heads for' if is_over else 'at risk, the forecast is'} {said} above it"
    comes_to = (
        "what the month comes to is unknown" if forecast is None else f"the month comes to {money(forecast, currency)}"
    )
    return Finding(
        subject=overspend_subject(row),
        state="over" if is_over else "at_risk",
        usage_date=day,
        headline=f"{whose}, {month}: {heads_for}",
        do="Nothing: it holds." if is_within else _WHAT_TO_DO_ABOUT_A_BUDGET[is_past],
        why=f"{at_least}{money(spent, currency)} of {money(budget, currency)} are spent on settled days ({days}); "
        f"{comes_to}.",
        by_when=(
            "The month is over." if is_past else "The budget is spent." if is_over else f"Before the end of {month}."
        ),
        at_stake=f"{said} above the budget." if above > 0 else "Nothing above the budget.",
        how_sure=f"Forecast: {inert(row['reason'] or 'unknown', 300)}.",
        unknown=(
            f"The cost of {row['unknown_charge_count']} charges." if row["unknown_charge_count"] else "What is to come."
        ),
        command="breakeven costs",
        team=row["scope_name"] if row["scope"] == "team" else None,
        opens=is_over or (not is_within and not is_past and floor.is_reached(above, whole=budget)),
        is_calm=is_within,
        milder_than=frozenset() if is_over else frozenset({"over"}),
    )


def source_findings(rows: Iterable[Row], *, day: date, owners: Mapping[tuple[str, str], str | None]) -> list[Finding]:
    """Of each source: whether it is late, or has lost what it had. No money is told.

    Rows: source_days.sql, with `late_dates`: days that should be settled and are not. owners: whose a source is.
    """
    by_source: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["last_usage_date"] is not None:
            by_source.setdefault((row["source"], row["account"]), []).append(row)
    return [_source(*key, rows=of_one, day=day, owner=owners.get(key)) for key, of_one in sorted(by_source.items())]


def _source(source: str, account: str, *, rows: Sequence[Row], day: date, owner: str | None) -> Finding:
    blocked = sorted({one for row in rows for one in row["blocked_dates"] or ()})
    late = sorted({one for row in rows for one in row["late_dates"] or ()})
    dataset = next((row["dataset"] for row in rows if row["blocked_dates"]), rows[0]["dataset"])
    name = f"{inert(source, _NAME)} of {inert(account, _NAME)}"
    bucket = f"{source}/{account}/{dataset}/{blocked[0]}" if blocked else ""
    if blocked:
        said, do = (
            "had money and now has none",
            f'If that is right: breakeven accept {shlex.quote(inert(bucket, 200))} --why "..."',
        )
    elif late:
        said, do = "is late", "See that it still delivers; breakeven doctor says what is wrong with it."
    else:
        said, do = "delivers again", "Nothing."
    days = blocked or late
    span = "" if not days else f"{days[0]} UTC" if len(days) == 1 else f"{days[0]} to {days[-1]} UTC, {len(days)} days"
    return Finding(
        subject=f"source:{source}/{account}",
        state="lost" if blocked else "late",
        usage_date=day,
        headline=f"{name} {said}",
        do=do,
        why=f"{said[:1].upper()}{said[1:]}: {span}." if days else "Every day that should be settled is.",
        by_when="No verdict, budget or close reads a day that is not settled." if days else "Nothing waits.",
        at_stake="No money: figures wait for it.",
        how_sure="As deliveries landed.",
        unknown="What those days cost." if days else "Nothing.",
        command="breakeven doctor",
        team=owner,
        opens=bool(blocked) or len(late) >= LATE_DAYS,
        is_calm=not days,
        is_of_settled_days=False,
        milder_than=frozenset() if blocked else frozenset({"lost"}),
    )


def dispute_findings(events: Sequence[EventLike]) -> list[Finding]:
    """Of each case whose figure somebody called wrong, until `done` is said of that."""
    by_subject = events_by_subject(events)
    found = []
    for subject, of_one in sorted(by_subject.items()):
        said = [event.body for event in of_one if event.kind == WRONG]
        if said:
            settled = [event.body for event in by_subject.get(f"dispute:{subject}", ()) if event.kind == DONE]
            is_calm = any(body["done_at"] >= said[-1]["said_at"] for body in settled)
            found.append(_dispute(subject, said, is_calm=is_calm))
    return found


def _dispute(subject: str, said: Sequence[Mapping[str, Any]], *, is_calm: bool) -> Finding:
    newest = said[-1]
    key, by, why = inert(newest["case_key"], _NAME), inert(newest["by"], _NAME), inert(newest["why"], 500)
    kind, _, name = subject.partition(":")
    is_verdict = kind == "workload"
    name_of_dispute = shlex.quote(f"dispute:{inert(subject, 200)}")
    return Finding(
        subject=f"dispute:{subject}",
        state=f"disputed_{len(said)}",
        usage_date=datetime.fromisoformat(newest["said_at"]).date(),
        headline=f"{key}: {by} calls its figure wrong",
        do=f"Compare it with what you know, then: breakeven alerts done {name_of_dispute}",
        why=f"{by} says: {why}",
        by_when="Before anybody acts on that case.",
        at_stake="Whether the case holds.",
        how_sure="The command below prints each step from the figure back to the bytes it was made of.",
        unknown="Who is right.",
        command=(
            f"breakeven explain verdict {shlex.quote(inert(name, _NAME))} --date {newest['usage_date']}"
            if is_verdict
            else "breakeven doctor"
        ),
        team=newest.get("team"),
        opens=not is_calm,
        is_calm=is_calm,
        is_of_settled_days=False,
    )


def restated_findings(rows: Iterable[Row], *, day: date) -> list[Finding]:
    """Of each closed month that bills restated since, by the newest month in which that is due.

    Rows: alert_restated.sql.
    """
    by_month: dict[date, list[Row]] = {}
    for row in rows:
        by_month.setdefault(row["billing_month_date"], []).append(row)
    return [_restated(month, of_month, day=day) for month, of_month in sorted(by_month.items())]


def _restated(month: date, rows: Sequence[Row], *, day: date) -> Finding:
    due = max(row["due_month_date"] for row in rows)
    by_currency = {row["billing_currency"]: row["difference_cost"] for row in rows if row["due_month_date"] == due}
    amounts = ", ".join(money(amount, currency) for currency, amount in sorted(by_currency.items()))
    is_nothing = not any(by_currency.values())
    return Finding(
        subject=f"restated:{month:%Y-%m}",
        state=f"restated_in_{due:%Y-%m}",
        usage_date=day,
        headline=f"{month:%Y-%m} was closed; of what its bills moved by since, {amounts} is due in {due:%Y-%m}",
        do=f"Book it in {due:%Y-%m}: breakeven close --month {due:%Y-%m} --dry-run shows the rows.",
        why=f"What was closed stays; what bills of {month:%Y-%m} say now less what was booked is due in {due:%Y-%m}.",
        by_when=f"When {due:%Y-%m} is closed.",
        at_stake=f"{amounts}.",
        how_sure="Bills as they landed, against the close, exactly.",
        unknown="Whether they will be restated again.",
        command=f"breakeven close --month {due:%Y-%m} --dry-run",
        opens=not is_nothing,
        is_calm=is_nothing,
        is_of_settled_days=False,
    )


def ended_findings(
    events: Sequence[EventLike], *, known: Collection[str], declared: Collection[str], day: date
) -> list[Finding]:
    """Of each open case of which nothing is found any more, that it is over: a restated month that is booked, a budget
    whose month is, whatever is declared no more. `known`: subjects of which something is found. `declared`: subjects of
    what breakeven.yaml has, of which nothing may be found for a while. `day`: the last one that is over.
    """
    found = []
    for subject, of_one in sorted(events_by_subject(events).items()):
        case = last_settled(of_one)
        if case is None or case.state == CALM or subject in known:
            continue
        kind, _, name = subject.partition(":")
        if kind == "restated":
            found.append(
                _ended(subject, name, day=day, said="nothing is left to book", why="What its bills say is booked.")
            )
        elif kind == "overspend" and name[:7] < f"{month_before(day):%Y-%m}":
            month, _, whose = name.partition("/")
            why = "A budget is of its month; the report has what that came to."
            found.append(
                _ended(subject, month, day=day, said=f"the month is over for {whose.replace('/', ' ', 1)}", why=why)
            )
        elif kind in _DECLARED and (name.partition("/")[2] if kind == "overspend" else subject) not in declared:
            why = f"breakeven.yaml has no such {_DECLARED[kind]} any more."
            found.append(_ended(subject, inert(name, _NAME), day=day, said="is declared no more", why=why))
        elif kind == "guard" and case.usage_date < day - timedelta(days=_GUARDED_DAYS):
            why = "No bill has named that day's use for four weeks; what was said was at list prices."
            found.append(_ended(subject, inert(name, _NAME), day=day, said="it was never billed", why=why))
        elif kind == "anomaly" and subject not in declared:
            why = "It has had no unusual day for four weeks."
            found.append(_ended(subject, inert(name, _NAME), day=day, said="as usual again", why=why))
    return found


# As far back as bills of an hour that fired are looked for.
_GUARDED_DAYS = 28


# Kinds of subjects that breakeven.yaml declares, and what it calls them.
_DECLARED: Mapping[str, str] = {
    "waste": "deployment",
    "source": "source",
    "runway": "prepaid account",
    "overspend": "budget",
    "workload": "workload",
}


def _ended(subject: str, name: str, *, day: date, said: str, why: str) -> Finding:
    return Finding(
        subject=subject,
        state=CALM,
        usage_date=day,
        headline=f"{name}: {inert(said, _NAME)}",
        do="Nothing.",
        why=why,
        by_when="Nothing waits.",
        at_stake="Nothing any more.",
        how_sure="By what the tables have of it: no row.",
        unknown="Nothing.",
        command="breakeven alerts list",
        opens=False,
        is_calm=True,
        is_of_settled_days=False,
    )
