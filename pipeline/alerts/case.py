"""What to say: which workloads changed state since the last announcement, and the message for each. Pure."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol, Self

from pipeline.formats import currency as currencies
from pipeline.formats.writing import Number, fixed, one_line

# Slack's limits (docs.slack.dev, Block Kit reference).
BLOCK_TEXT_LIMIT = 3000
HEADER_LIMIT = 150
BLOCK_COUNT_LIMIT = 50
FALLBACK_LIMIT = 3000
NAME_LIMIT = 80
REASON_LIMIT = 300

EVENT_TYPE = "breakeven_case"

POSTED = "message.posted"
PRINTED = "message.printed"
OPENED = "case.opened"
ACKNOWLEDGED = "case.acknowledged"
SNOOZED = "case.snoozed"

# A day whose data are not settled never speaks as a cost event, and nobody is asked to move what is pinned.
MUTED_STATUSES = frozenset({"not_settled", "pinned"})

RECOMMENDATIONS: Mapping[str, str] = {
    "fill": "fill the idle replicas that are already paid for",
    "release": "release replicas",
    "switch_to_self_host": "move to self-hosting",
    "switch_to_api": "move to the API",
    "stay": "stay as it is",
}


class EventLike(Protocol):
    """What this module reads of a landed event."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...


class _Row:
    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From a mapping with at least this row's columns (a mart's row as a dict); further columns are ignored."""
        return cls(**{column.name: row[column.name] for column in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class VerdictRow(_Row):
    """One row of fct_verdicts_daily. Money in the reporting currency; None is unknown, never 0.

    The three costs and the full-replica margin are over the window; prices, volumes and the saving name their period.
    """

    usage_date: date
    workload: str
    team: str | None
    status: str
    reason: str | None
    window_from_date: date | None
    window_days_count: int | None
    demand_tokens_per_day: Decimal | int | float | None
    api_price_rc_per_mtok: Decimal | float | None
    api_price_basis: str | None
    deployment_id: str | None
    gpu_hour_rate_rc: Decimal | float | None
    gpu_rate_basis: str | None
    capacity_basis: str | None
    capacity_tokens_per_replica_hour: Decimal | int | float | None
    api_only_cost_rc: Decimal | None
    all_self_host_cost_rc: Decimal | None
    all_self_host_replica_count: int | None
    best_cost_rc: Decimal | None
    best_replica_count: int | None
    breakeven_first_tokens_per_day: Decimal | int | float | None
    breakeven_stable_tokens_per_day: Decimal | int | float | None
    full_replica_margin_rc: Decimal | None
    breakeven_utilization_ratio: float | None
    demand_ratio: float | None
    current_lane: str | None
    recommendation: str | None
    saving_rc_per_month: Decimal | None


@dataclass(frozen=True, kw_only=True)
class AlertRow(_Row):
    """One row of fct_alert_states_daily: the state after that day, and whether it fired on it."""

    usage_date: date
    workload: str
    state: str | None
    is_fired: bool
    reason: str | None
    is_frozen: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    """A workload's state that differs from the last announced one. (subject, ordinal) is its identity."""

    subject: str
    ordinal: int
    state: str
    previous_state: str | None
    verdict: VerdictRow
    later_unsettled_days_count: int = 0
    acknowledged_by: str | None = None

    @property
    def key(self) -> str:
        return f"{self.subject}#{self.ordinal}"

    @property
    def usage_date(self) -> date:
        return self.verdict.usage_date

    @property
    def saving_rc_per_month(self) -> Decimal | None:
        """What doing it would save, in the reporting currency; None where nobody knows."""
        return self.verdict.saving_rc_per_month


@dataclass(frozen=True, kw_only=True)
class Message:
    """One case as said: `plain` for a terminal, `text` Slack's fallback (escaped mrkdwn), `blocks` Block Kit."""

    case_key: str
    plain: str
    text: str
    blocks: tuple[Mapping[str, Any], ...]

    @property
    def text_hash(self) -> str:
        content = json.dumps([self.text, list(self.blocks)], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class _Settled:
    """The last state that somebody was told of, or acknowledged."""

    ordinal: int
    state: str
    usage_date: date
    previous_state: str | None
    acknowledged_by: str | None
    is_posted: bool


def subject_of(workload: str) -> str:
    return f"workload:{workload}"


def cases_to_announce(
    *,
    verdicts: Iterable[VerdictRow],
    alerts: Iterable[AlertRow],
    events: Sequence[EventLike],
    now: datetime,
) -> list[Case]:
    """Cases whose state differs from the last one announced or acknowledged, in order of subject.

    The state is read from the newest day that is neither frozen nor unsettled, and only if that day has a verdict.
    With nothing announced yet the first day's state is the reference, unless it fired on that very day.
    Days older than the last announced one never speak (a worker on an older snapshot); snoozed subjects keep quiet.
    """
    cases = []
    for candidate in _candidates(verdicts=verdicts, alerts=alerts):
        subject = subject_of(candidate.alert.workload)
        settled = _last_settled(subject, events)
        state = str(candidate.alert.state)
        reference = settled.state if settled else candidate.first_state
        if state == reference or _is_snoozed(subject, events, now):
            continue
        if settled and candidate.verdict.usage_date < settled.usage_date:
            continue
        cases.append(
            Case(
                subject=subject,
                ordinal=settled.ordinal + 1 if settled else 1,
                state=state,
                previous_state=reference,
                verdict=candidate.verdict,
                later_unsettled_days_count=candidate.later_unsettled_days_count,
            )
        )
    return cases


def cases_to_update(
    *, verdicts: Iterable[VerdictRow], alerts: Iterable[AlertRow], events: Sequence[EventLike]
) -> list[Case]:
    """Posted cases whose state still holds, with today's facts: their post is edited where its text differs."""
    cases = []
    for candidate in _candidates(verdicts=verdicts, alerts=alerts):
        subject = subject_of(candidate.alert.workload)
        settled = _last_settled(subject, events)
        if settled is None or not settled.is_posted or settled.state != candidate.alert.state:
            continue
        if candidate.verdict.usage_date < settled.usage_date:
            continue
        cases.append(
            Case(
                subject=subject,
                ordinal=settled.ordinal,
                state=settled.state,
                previous_state=settled.previous_state,
                verdict=candidate.verdict,
                later_unsettled_days_count=candidate.later_unsettled_days_count,
                acknowledged_by=settled.acknowledged_by,
            )
        )
    return cases


def first_day_to_say(alerts: Iterable[AlertRow]) -> date | None:
    """No verdict older than this can be announced or update a post. None: none can."""
    newest: dict[str, date] = {}
    for row in alerts:
        if _speaks(row):
            newest[row.workload] = max(row.usage_date, newest.get(row.workload, row.usage_date))
    return min(newest.values(), default=None)


@dataclass(frozen=True)
class _Candidate:
    alert: AlertRow
    verdict: VerdictRow
    first_state: str | None
    later_unsettled_days_count: int


def _candidates(*, verdicts: Iterable[VerdictRow], alerts: Iterable[AlertRow]) -> list[_Candidate]:
    verdict_of = {(row.workload, row.usage_date): row for row in verdicts}
    alerts_of: dict[str, list[AlertRow]] = {}
    for row in alerts:
        alerts_of.setdefault(row.workload, []).append(row)
    found = []
    for _, rows in sorted(alerts_of.items()):
        rows.sort(key=lambda row: row.usage_date)
        usable = [row for row in rows if _speaks(row)]
        if not usable:
            continue
        newest = usable[-1]
        verdict = verdict_of.get((newest.workload, newest.usage_date))
        if verdict is None or verdict.status in MUTED_STATUSES:
            continue
        first = usable[0]
        found.append(
            _Candidate(
                alert=newest,
                verdict=verdict,
                first_state=None if first.is_fired else first.state,
                later_unsettled_days_count=sum(row.usage_date > newest.usage_date for row in rows),
            )
        )
    return found


def _speaks(row: AlertRow) -> bool:
    return not row.is_frozen and bool(row.state) and row.state not in MUTED_STATUSES


def _last_settled(subject: str, events: Sequence[EventLike]) -> _Settled | None:
    newest: _Settled | None = None
    for event in events:
        if event.subject != subject or event.kind not in (POSTED, ACKNOWLEDGED):
            continue
        body = event.body
        same = newest is not None and newest.ordinal == body["ordinal"]
        if newest is not None and body["ordinal"] < newest.ordinal:
            continue
        is_acknowledgement = event.kind == ACKNOWLEDGED
        newest = _Settled(
            ordinal=body["ordinal"],
            # An adopted post or a second confirm of the same case says nothing new about what was said first.
            state=newest.state if same and newest else body["state"],
            usage_date=newest.usage_date if same and newest else date.fromisoformat(body["usage_date"]),
            previous_state=newest.previous_state if same and newest else body.get("previous_state"),
            acknowledged_by=body["by"] if is_acknowledgement else (newest.acknowledged_by if same and newest else None),
            is_posted=not is_acknowledgement or bool(same and newest and newest.is_posted),
        )
    return newest


def _is_snoozed(subject: str, events: Sequence[EventLike], now: datetime) -> bool:
    until: datetime | None = None
    for event in events:
        if event.kind == SNOOZED and event.subject == subject:
            until = datetime.fromisoformat(event.body["until"])
    return until is not None and now < until


def message_for(case: Case, *, currency: str, company: str) -> Message:
    """The message of a case: what to do, why, by when, money, volumes, how sure, what is unknown, how to check."""
    verdict = case.verdict
    headline = f"{inert(verdict.workload, NAME_LIMIT)}: {_recommendation(verdict)}"
    decision = [
        ("Do", _what_to_do(verdict)),
        ("Why", _why(case)),
        ("By when", _by_when(verdict, currency)),
    ]
    facts = [
        ("At stake", _at_stake(verdict, currency)),
        ("Break-even", _breakeven(verdict, currency)),
        ("How sure", _how_sure(verdict, currency)),
        ("Unknown", _unknown(case)),
    ]
    command = explain_command(verdict)
    footer = _footer(case, company)
    lines = [headline, *(f"{label}: {value}" for label, value in decision + facts), f"Check: {command}", footer]
    blocks: list[Mapping[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": plain_text(headline, HEADER_LIMIT), "emoji": False}},
        _section(decision),
        _section(facts),
        _mrkdwn_section(f"*Check:* `{code(command, BLOCK_TEXT_LIMIT - 20)}`"),
        {"type": "context", "elements": [_mrkdwn_object(mrkdwn(footer, BLOCK_TEXT_LIMIT))]},
    ]
    return Message(
        case_key=case.key,
        plain="\n".join(lines),
        text=mrkdwn(f"{headline}. {_at_stake(verdict, currency)}", FALLBACK_LIMIT),
        blocks=tuple(blocks[:BLOCK_COUNT_LIMIT]),
    )


def explain_command(verdict: VerdictRow) -> str:
    """The command that prints where the verdict's figures come from."""
    workload = shlex.quote(inert(verdict.workload, NAME_LIMIT))
    return f"breakeven explain verdict {workload} --date {verdict.usage_date.isoformat()}"


def _section(lines: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
    share = BLOCK_TEXT_LIMIT // len(lines) - 40
    return _mrkdwn_section("\n".join(f"*{label}:* {mrkdwn(value, share)}" for label, value in lines))


def _mrkdwn_section(text: str) -> Mapping[str, Any]:
    return {"type": "section", "text": _mrkdwn_object(text)}


def _mrkdwn_object(text: str) -> Mapping[str, Any]:
    # verbatim: Slack must not turn names into links or mentions by itself.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _recommendation(verdict: VerdictRow) -> str:
    if verdict.recommendation is None:
        return "no recommendation"
    known = RECOMMENDATIONS.get(verdict.recommendation)
    return known or inert(verdict.recommendation, NAME_LIMIT).replace("_", " ")


def _what_to_do(verdict: VerdictRow) -> str:
    action = _recommendation(verdict)
    action = action[:1].upper() + action[1:]
    lane = f" Now: {_lane(verdict.current_lane)}." if verdict.current_lane else ""
    count = verdict.best_replica_count
    if count is None:
        return f"{action}. No replica count: there is no hourly evidence.{lane}"
    if count == 0:
        return f"{action}. Best: no replica, all of it on the API.{lane}"
    replicas = f"{count} replica" if count == 1 else f"{count} replicas"
    deployment = f" of {inert(verdict.deployment_id, NAME_LIMIT)}" if verdict.deployment_id else ""
    return f"{action}. Best: {replicas}{deployment}, what exceeds them on the API.{lane}"


def _lane(lane: str) -> str:
    return {"api": "the API", "self_host": "self-hosted", "both": "both lanes"}.get(lane, inert(lane, NAME_LIMIT))


def _why(case: Case) -> str:
    verdict = case.verdict
    before = f"changed from {inert(case.previous_state, NAME_LIMIT)} to" if case.previous_state else "is"
    parts = [f"The state {before} {inert(case.state, NAME_LIMIT)}, as of {_day(verdict)}."]
    if verdict.demand_ratio is not None:
        parts.append(f"Traffic is {_ratio(verdict.demand_ratio)} of the first break-even volume.")
    if verdict.reason:
        parts.append(inert(verdict.reason, REASON_LIMIT))
    return " ".join(parts)


def _by_when(verdict: VerdictRow, currency: str) -> str:
    saving = verdict.saving_rc_per_month
    if saving is None:
        return "No date: the saving is unknown."
    if saving <= 0:
        return "No hurry: there is no saving to lose."
    return f"No deadline is known; each month of waiting costs about {money(saving, currency)}."


def _at_stake(verdict: VerdictRow, currency: str) -> str:
    saving = verdict.saving_rc_per_month
    first = "Saving unknown." if saving is None else f"Saving {money(saving, currency)} a month."
    replicas = _replicas(verdict.all_self_host_replica_count)
    best = _replicas(verdict.best_replica_count)
    costs = [
        f"API only {money(verdict.api_only_cost_rc, currency)}",
        f"all self-hosted{replicas} {money(verdict.all_self_host_cost_rc, currency)}",
        f"best{best} {money(verdict.best_cost_rc, currency)}",
    ]
    if verdict.window_days_count is None or verdict.window_from_date is None:
        return f"{first} {', '.join(costs)}."
    window = f"{verdict.window_days_count} days from {verdict.window_from_date.isoformat()} UTC"
    return f"{first} Over {window}: {', '.join(costs)}."


def _replicas(count: int | None) -> str:
    return "" if count is None else f" ({count} replica{'' if count == 1 else 's'})"


def _breakeven(verdict: VerdictRow, currency: str) -> str:
    demand = verdict.demand_tokens_per_day
    first = verdict.breakeven_first_tokens_per_day
    stable = verdict.breakeven_stable_tokens_per_day
    inputs = (verdict.api_price_rc_per_mtok, verdict.gpu_hour_rate_rc, verdict.capacity_tokens_per_replica_hour)
    parts = ["Traffic unknown" if demand is None else f"Traffic {quantity(demand)} tokens/day"]
    if first is not None:
        parts.append(f"first break-even {quantity(first)} tokens/day")
    else:
        parts.append("break-even unknown" if None in inputs else "no break-even at any volume with this capacity")
    if stable is not None:
        parts.append(f"self-hosting stays cheaper from {quantity(stable)} tokens/day")
    elif first is not None:
        parts.append("no volume from which self-hosting stays cheaper")
    parts = ["; ".join(parts) + "."]
    if verdict.full_replica_margin_rc is not None:
        margin = money(verdict.full_replica_margin_rc, currency)
        days = "the window" if verdict.window_days_count is None else f"those {verdict.window_days_count} days"
        parts.append(f"Margin of a full replica {margin} over {days}.")
    if verdict.breakeven_utilization_ratio is not None:
        parts.append(f"A replica pays from {_ratio(verdict.breakeven_utilization_ratio)} of its capacity.")
    return " ".join(parts)


def _how_sure(verdict: VerdictRow, currency: str) -> str:
    capacity = verdict.capacity_tokens_per_replica_hour
    if capacity is None:
        sure = "Capacity unknown"
    elif verdict.capacity_basis == "declared":
        sure = f"Capacity {quantity(capacity)} tokens per replica-hour, declared"
    else:
        sure = f"Capacity at least {quantity(capacity)} tokens per replica-hour, the best hour seen"
    api = _priced("API price", verdict.api_price_rc_per_mtok, "per 1M tokens", verdict.api_price_basis, currency)
    gpu = _priced("GPU rate", verdict.gpu_hour_rate_rc, "per GPU-hour", verdict.gpu_rate_basis, currency)
    return f"{sure}. {api}. {gpu}."


def _priced(name: str, price: Decimal | float | None, unit: str, basis: str | None, currency: str) -> str:
    if price is None:
        return f"{name} unknown"
    return f"{name} {money(price, currency, most_decimals=4)} {unit}, {inert(basis or 'basis not stated', NAME_LIMIT)}"


def _unknown(case: Case) -> str:
    verdict = case.verdict
    unknown = [
        words
        for value, words in (
            (verdict.demand_tokens_per_day, "traffic"),
            (verdict.api_price_rc_per_mtok, "API price"),
            (verdict.gpu_hour_rate_rc, "GPU rate"),
            (verdict.capacity_tokens_per_replica_hour, "capacity"),
            (verdict.best_replica_count, "best replica count"),
            (verdict.saving_rc_per_month, "saving"),
        )
        if value is None
    ]
    if verdict.capacity_tokens_per_replica_hour is not None and verdict.capacity_basis != "declared":
        unknown.append("how much more than the best hour seen a replica can serve")
    if case.later_unsettled_days_count:
        days = case.later_unsettled_days_count
        unknown.append(f"{days} later day{'s' if days > 1 else ''}, not settled yet")
    return "; ".join(unknown) + "." if unknown else "Nothing that this verdict reads."


def _footer(case: Case, company: str) -> str:
    team = case.verdict.team
    parts = [
        inert(company, NAME_LIMIT),
        f"team {inert(team, NAME_LIMIT)}" if team else "no team declared",
        f"settled data up to {_day(case.verdict)}",
        f"case {inert(case.key, NAME_LIMIT)}",
    ]
    if case.acknowledged_by:
        parts.append(f"acknowledged by {inert(case.acknowledged_by, NAME_LIMIT)}")
    return " · ".join(parts)


def _day(verdict: VerdictRow) -> str:
    return f"{verdict.usage_date.isoformat()} UTC"


def _ratio(value: float) -> str:
    return f"{value:.2f}x"


def quantity(value: Decimal | int | float) -> str:
    """A count in words of three digits: 66.7M. Below a million all digits are shown."""
    number = Decimal(str(value))
    for power, suffix in ((12, "T"), (9, "B"), (6, "M")):
        scaled = number / Decimal(10**power)
        if abs(scaled) >= 1:
            decimals = max(0, 2 - len(str(int(abs(scaled)))) + 1)
            return f"{scaled:,.{decimals}f}{suffix}"
    return fixed(number, 0)


def money(amount: Number | None, currency: str, *, most_decimals: int = 0) -> str:
    """An amount as a sentence says it; `most_decimals`: as many of them as are not zero."""
    return "unknown" if amount is None else currencies.money(amount, currency, most_decimals=most_decimals)


def inert(text: str, limit: int) -> str:
    """Text from data on one line, without characters that hide or reorder what is read; cut to `limit` characters."""
    line = one_line(text)
    return line if _length(line) <= limit else _cut(line, limit)


# Look-alikes, because Slack has no escape for its formatting characters (only & < > have one).
_LOOK_ALIKES: Mapping[str, str] = {"*": "∗", "_": "ˍ", "~": "∼", "`": "ˋ"}
_FORMATTING = re.compile(r"(?<![^\W_])[*_~]|[*_~](?![^\W_])|`|[*~]")
_EMOJI = re.compile(r":(?=[A-Za-z0-9_+'-]+:)")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")


def mrkdwn(text: str, limit: int) -> str:
    """Text that Slack shows as written inside mrkdwn: no mention, link, emoji, bold; at most `limit` after escaping."""
    return _escaped(_without_formatting(text), limit)


def code(text: str, limit: int) -> str:
    """Text for inside a code span, where only a backtick and & < > mean something."""
    return _escaped(text.replace("`", _LOOK_ALIKES["`"]), limit)


def _escaped(literal: str, limit: int) -> str:
    pieces: list[str] = []
    used = 0
    for index, character in enumerate(literal):
        piece = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(character, character)
        length = _length(piece)
        is_last = index == len(literal) - 1
        if used + length > limit - (0 if is_last else 1):
            return "".join(pieces) + "…"
        pieces.append(piece)
        used += length
    return "".join(pieces)


def plain_text(text: str, limit: int) -> str:
    """Text for a plain_text object, inert however it is read: angle brackets become quotation marks."""
    literal = _ENTITY.sub("＆", _without_formatting(text)).translate({ord("<"): "‹", ord(">"): "›"})
    return literal if _length(literal) <= limit else _cut(literal, limit)


def _without_formatting(text: str) -> str:
    text = _FORMATTING.sub(lambda found: _LOOK_ALIKES[found.group()], text)
    text = _EMOJI.sub("꞉", text)
    return _MENTION.sub("＠", text)


def _length(text: str) -> int:
    """UTF-16 units, the larger of the ways in which Slack may count."""
    return sum(2 if ord(character) > 0xFFFF else 1 for character in text)


def _cut(text: str, limit: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += _length(character)
        if used > limit - 1:
            return text[:index] + "…"
    return text


def utc_text(moment: datetime) -> str:
    """An event body's spelling of a moment. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; pass an aware datetime.")
    return moment.astimezone(UTC).isoformat()
