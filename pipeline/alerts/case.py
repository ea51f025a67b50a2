"""What to say: which workloads changed state since the last announcement, and the message for each. Pure."""

import hashlib
import json
import shlex
from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

from pipeline.alerts.buttons import buttons_of
from pipeline.alerts.finding import Finding
from pipeline.alerts.text import code, inert, money, mrkdwn, plain_text, quantity
from pipeline.alerts.told import (
    CALM,
    EventLike,
    Settled,
    events_by_subject,
    last_settled,
    resting_pools,
    snoozed_until,
)
from pipeline.economics.worth_saying import NO_FLOOR, Floor

# Slack's limits (docs.slack.dev, Block Kit reference).
BLOCK_TEXT_LIMIT = 3000
HEADER_LIMIT = 150
BLOCK_COUNT_LIMIT = 50
FALLBACK_LIMIT = 3000
NAME_LIMIT = 80
REASON_LIMIT = 300
RANKED_LIMIT = 5
LINE_LIMIT = 200
# A line of a digest: headline, amount and case. Twenty of them are what Slack takes in one message.
DIGEST_LINE_LIMIT = 400

EVENT_TYPE = "breakeven_case"

# What could be done about a pool of GPUs, best first, each in a sentence.
Ranked = Mapping[str, Sequence[str]]
NOTHING_RANKED: Ranked = {}
# A recommendation about GPUs of which another one is open is posted when it saves this much more.
TAKES_OVER = Decimal("1.5")

# A day whose data are not settled never speaks as a cost event, and nobody is asked to move what is pinned.
MUTED_STATUSES = frozenset({"not_settled", "pinned"})

RECOMMENDATIONS: Mapping[str, str] = {
    "fill": "fill the idle replicas that are already paid for",
    "release": "release replicas",
    "switch_to_self_host": "move to self-hosting",
    "switch_to_api": "move to the API",
    "stay": "stay as it is",
}


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
    """A state of a subject that differs from the last announced one. (subject, ordinal) is its identity.

    `about`: the workload's verdict, or what was found of another subject. `is_over`: nobody has to do anything now.
    `is_posted`: it has a post that can be edited. `ranked`: all that could be done about the same GPUs, best first.
    `holds`: it is a digest of these. `overtaken_by`: another subject about the same GPUs, told or carried out, in
    whose favour it is over: the GPUs still ask something of somebody.
    """

    subject: str
    ordinal: int
    state: str
    previous_state: str | None
    about: VerdictRow | Finding
    later_unsettled_days_count: int = 0
    acknowledged_by: str | None = None
    wrong_by: str | None = None
    done_by: str | None = None
    snoozed_until: datetime | None = None
    is_over: bool = False
    overtaken_by: str | None = None
    is_posted: bool = False
    ranked: tuple[str, ...] = ()
    holds: "tuple[Case, ...]" = ()

    @property
    def key(self) -> str:
        return f"{self.subject}#{self.ordinal}"

    @property
    def usage_date(self) -> date:
        return self.about.usage_date

    @property
    def saving_rc_per_month(self) -> Decimal | None:
        """What doing it would save, in the reporting currency; None where nobody knows."""
        return self.about.saving_rc_per_month

    @property
    def team(self) -> str | None:
        """Whose it is; None where nobody declared that."""
        return self.about.team

    @property
    def pool(self) -> str | None:
        """The GPUs it is about."""
        return self.about.pool if isinstance(self.about, Finding) else self.about.deployment_id

    @property
    def gist(self) -> str:
        """What is asked of somebody, without the figures."""
        what = self.about.recommendation if isinstance(self.about, VerdictRow) else None
        return self.state if what is None else f"{self.state}: {what}"

    @property
    def is_urgent(self) -> bool:
        """Something stops unless somebody acts: it waits for nothing."""
        return isinstance(self.about, Finding) and self.about.is_urgent


@dataclass(frozen=True, kw_only=True)
class Message:
    """One case as said: `plain` for a terminal, `text` Slack's fallback (escaped mrkdwn), `blocks` Block Kit.

    `headline`, `lines`: the same for any other outlet, which escapes it; a line is a label, or "", and its text.
    """

    case_key: str
    plain: str
    text: str
    blocks: tuple[Mapping[str, Any], ...]
    headline: str = ""
    lines: tuple[tuple[str, str], ...] = ()

    @property
    def text_hash(self) -> str:
        content = json.dumps([self.text, list(self.blocks)], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


def subject_of(workload: str) -> str:
    return f"workload:{workload}"


def cases_to_announce(
    *,
    verdicts: Iterable[VerdictRow],
    alerts: Iterable[AlertRow],
    events: Sequence[EventLike],
    now: datetime,
    findings: Iterable[Finding] = (),
    floor: Floor = NO_FLOOR,
    ranked: Ranked = NOTHING_RANKED,
) -> list[Case]:
    """Cases whose state differs from the last one announced or acknowledged, in order of subject.

    The state is read from the newest day that is neither frozen nor unsettled, and only if that day has a verdict.
    With nothing announced yet the first day's state is the reference, unless it fired on that very day.
    Days older than the last announced one never speak (a worker on an older snapshot); snoozed subjects keep quiet.
    What would save less than `floor` says opens none, and neither does a finding that needs nobody, nor what saves less
    than another recommendation about the same GPUs (`_leaders`).
    """
    told = _told(_candidates(verdicts=verdicts, alerts=alerts, findings=findings, floor=floor), events, now)
    leaders = _leaders(told, resting_pools(events, now))
    return [
        Case(
            subject=one.candidate.subject,
            ordinal=one.settled.ordinal + 1 if one.settled else 1,
            state=one.candidate.state,
            previous_state=one.reference,
            about=one.candidate.about,
            later_unsettled_days_count=one.candidate.later_unsettled_days_count,
            ranked=_ranked(one.candidate, ranked),
        )
        for one in told
        if one.is_new and leaders.get(one.candidate.pool, one.candidate.subject) == one.candidate.subject
    ]


def cases_to_update(
    *,
    verdicts: Iterable[VerdictRow],
    alerts: Iterable[AlertRow],
    events: Sequence[EventLike],
    now: datetime,
    findings: Iterable[Finding] = (),
    floor: Floor = NO_FLOOR,
    ranked: Ranked = NOTHING_RANKED,
) -> list[Case]:
    """Announced cases with today's facts, those whose state still holds and those that are over (`is_over`).

    The post of one is edited where its text differs, which notifies nobody. What another recommendation about the same
    GPUs has overtaken is over too, once somebody was told of that other one.
    """
    told = _told(_candidates(verdicts=verdicts, alerts=alerts, findings=findings, floor=floor), events, now)
    leaders = _leaders([one for one in told if not one.is_new], resting_pools(events, now))
    cases = []
    for one in told:
        candidate, settled = one.candidate, one.settled
        if settled is None or (settled.state == CALM and settled.done_by is None) or one.is_outdated:
            continue
        leader = leaders.get(candidate.pool, candidate.subject)
        is_overtaken = leader != candidate.subject
        is_over = settled.done_by is not None or candidate.is_calm or is_overtaken
        if not is_over and not candidate.is_known_as(settled.state):
            continue
        cases.append(
            Case(
                subject=candidate.subject,
                ordinal=settled.ordinal,
                state=CALM if is_over else settled.state,
                previous_state=settled.state if is_over else settled.previous_state,
                about=candidate.about,
                later_unsettled_days_count=candidate.later_unsettled_days_count,
                acknowledged_by=settled.acknowledged_by,
                is_over=is_over,
                overtaken_by=leader if is_overtaken and settled.done_by is None and not candidate.is_calm else None,
                is_posted=settled.is_posted,
                done_by=settled.done_by,
                wrong_by=settled.wrong_by,
                snoozed_until=one.snoozed_until,
                ranked=_ranked(candidate, ranked),
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


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """What is so of a subject now. `first_state`: what is taken for known where nothing was announced.

    `opens`: worth a post of its own. `is_calm`: nobody has to do anything.
    """

    subject: str
    state: str
    about: VerdictRow | Finding
    first_state: str | None
    opens: bool
    is_calm: bool
    later_unsettled_days_count: int = 0

    @property
    def pool(self) -> str | None:
        """The GPUs it is about."""
        return self.about.pool if isinstance(self.about, Finding) else self.about.deployment_id

    @property
    def is_urgent(self) -> bool:
        """Something stops unless somebody acts: no snooze of what was said before holds it back."""
        return isinstance(self.about, Finding) and self.about.is_urgent

    @property
    def saving(self) -> Decimal:
        """What it is ranked by: a saving that nobody knows is overtaken by any that is known."""
        return self.about.saving_rc_per_month or Decimal(0)

    def is_known_as(self, announced: str | None) -> bool:
        """Whether this is no news to whoever was told the announced state."""
        milder_than = self.about.milder_than if isinstance(self.about, Finding) else frozenset()
        return self.state == announced or announced in milder_than


@dataclass(frozen=True, kw_only=True)
class _Told:
    """A candidate beside what was said of it. `is_new`: worth a post, as far as it alone is looked at."""

    candidate: _Candidate
    settled: Settled | None
    is_new: bool
    snoozed_until: datetime | None

    @property
    def reference(self) -> str | None:
        return self.settled.state if self.settled else self.candidate.first_state

    @property
    def is_outdated(self) -> bool:
        """Made from older days than what was said of it."""
        return self.settled is not None and self.candidate.about.usage_date < self.settled.usage_date

    @property
    def is_open(self) -> bool:
        """Somebody was told, and it still holds."""
        known = self.settled is not None and self.settled.state != CALM
        return known and not self.candidate.is_calm and self.candidate.is_known_as(self.reference)


def _told(candidates: Iterable[_Candidate], events: Sequence[EventLike], now: datetime) -> list[_Told]:
    by_subject = events_by_subject(events)
    found = []
    for candidate in candidates:
        said = by_subject.get(candidate.subject, ())
        settled = last_settled(said)
        reference = settled.state if settled else candidate.first_state
        is_older = settled is not None and candidate.about.usage_date < settled.usage_date
        is_new = candidate.opens and not candidate.is_known_as(reference) and not is_older
        until = snoozed_until(said, now)
        is_silent = until is not None and not candidate.is_urgent
        found.append(
            _Told(
                candidate=candidate,
                settled=settled,
                is_new=is_new and not is_silent and not _is_unseen(candidate, settled, now),
                snoozed_until=until,
            )
        )
    return found


def _is_unseen(candidate: _Candidate, settled: Settled | None, now: datetime) -> bool:
    """Whether it was done so lately that what is known of it cannot show that: of GPUs for four weeks, of anything
    else while the newest day that it knows of is older.
    """
    if settled is None or settled.done_at is None:
        return False
    if candidate.pool is not None:
        return settled.rests(now)
    if isinstance(candidate.about, Finding) and candidate.about.shows_until is not None:
        return candidate.about.shows_until <= settled.done_at.date()
    return candidate.about.usage_date < settled.done_at.date()


def _leaders(told: Sequence[_Told], resting: Mapping[str, str]) -> dict[str | None, str]:
    """Pool -> the one subject about it that may be open: what saves most of what is open, unless something new saves
    at least half as much again. No pool, no rival. resting: pool -> what was done about it, too lately for figures to
    show: whatever else there is to do about these GPUs is read off the same weeks.
    """
    leaders: dict[str | None, str] = dict(resting.items())
    for pool in {one.candidate.pool for one in told} - {None, *resting}:
        opened = [one.candidate for one in told if one.candidate.pool == pool and one.is_open]
        new = [one.candidate for one in told if one.candidate.pool == pool and one.is_new]
        best_open = min(opened, key=_by_saving, default=None)
        best_new = min(new, key=_by_saving, default=None)
        if best_new is not None and (best_open is None or _takes_over(best_new, best_open)):
            leaders[pool] = best_new.subject
        elif best_open is not None:
            leaders[pool] = best_open.subject
    return leaders


def _takes_over(new: _Candidate, opened: _Candidate) -> bool:
    """Of two savings that nobody knows neither does: they would take turns."""
    return new.saving > opened.saving and new.saving >= opened.saving * TAKES_OVER


def _by_saving(candidate: _Candidate) -> tuple[Decimal, str]:
    return -candidate.saving, candidate.subject


def _ranked(candidate: _Candidate, ranked: Ranked) -> tuple[str, ...]:
    return tuple(ranked.get(candidate.pool, ())) if candidate.pool is not None else ()


def _candidates(
    *, verdicts: Iterable[VerdictRow], alerts: Iterable[AlertRow], findings: Iterable[Finding], floor: Floor
) -> list[_Candidate]:
    """In order of subject; two findings of one subject would be two posts of it, so the last one counts."""
    of_workloads = _of_workloads(verdicts, alerts, floor)
    others = {
        found.subject: _Candidate(
            subject=found.subject,
            state=found.state,
            about=found,
            first_state=None,
            opens=found.opens and not found.is_calm,
            is_calm=found.is_calm,
        )
        for found in findings
    }
    return sorted([*of_workloads, *others.values()], key=lambda candidate: candidate.subject)


def _of_workloads(verdicts: Iterable[VerdictRow], alerts: Iterable[AlertRow], floor: Floor) -> list[_Candidate]:
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
        saving, now_a_month = verdict.saving_rc_per_month, current_cost_rc_per_month(verdict)
        is_calm = saving is not None and floor.is_left(saving, whole=now_a_month)
        found.append(
            _Candidate(
                subject=subject_of(newest.workload),
                state=str(newest.state),
                about=verdict,
                first_state=None if first.is_fired else first.state,
                opens=not is_calm and (saving is None or floor.is_reached(saving, whole=now_a_month)),
                is_calm=is_calm,
                later_unsettled_days_count=sum(row.usage_date > newest.usage_date for row in rows),
            )
        )
    return found


def current_cost_rc_per_month(verdict: VerdictRow) -> Fraction | None:
    """What the workload costs as it is served now: the best way and what that would save; None where unknown."""
    if verdict.saving_rc_per_month is None or verdict.best_cost_rc is None or not verdict.window_days_count:
        return None
    days = monthrange(verdict.usage_date.year, verdict.usage_date.month)[1]
    return Fraction(verdict.best_cost_rc) * days / verdict.window_days_count + Fraction(verdict.saving_rc_per_month)


def _speaks(row: AlertRow) -> bool:
    return not row.is_frozen and bool(row.state) and row.state not in MUTED_STATUSES


def message_for(case: Case, *, currency: str, company: str, has_buttons: bool = False) -> Message:
    """The message of a case: what to do, why, by when, money, volumes, how sure, what is unknown, how to check."""
    if case.holds:
        return _digest(case, currency=currency, company=company)
    said = _found(case.about) if isinstance(case.about, Finding) else _decided(case, case.about, currency)
    before = "Done: " if case.done_by else "Overtaken: " if case.overtaken_by else "Over: " if case.is_over else ""
    headline = f"{before}{said.headline}"
    decision, facts, command = said.decision, list(said.facts), said.command
    if len(case.ranked) > 1:
        listed = "; ".join(f"{number}. {text}" for number, text in enumerate(case.ranked[:RANKED_LIMIT], start=1))
        facts.append(("Ranked", f"{listed}. They do not add up."))
    footer = _footer(case, company)
    lines = [headline, *(f"{label}: {value}" for label, value in (*decision, *facts)), f"Check: {command}", footer]
    blocks: list[Mapping[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": plain_text(headline, HEADER_LIMIT), "emoji": False}},
        _section(decision),
        _section(facts),
        _mrkdwn_section(f"*Check:* `{code(command, BLOCK_TEXT_LIMIT - 20)}`"),
        {"type": "context", "elements": [_mrkdwn_object(mrkdwn(footer, BLOCK_TEXT_LIMIT))]},
    ]
    buttons = buttons_of(case.key) if has_buttons and not case.is_over else None
    if buttons is not None:
        blocks.insert(-1, buttons)
    return Message(
        case_key=case.key,
        plain="\n".join(lines),
        text=mrkdwn(f"{headline}. {said.at_stake}", FALLBACK_LIMIT),
        blocks=tuple(blocks[:BLOCK_COUNT_LIMIT]),
        headline=headline,
        lines=(*decision, *facts, ("Check", command), ("", footer)),
    )


def _digest(case: Case, *, currency: str, company: str) -> Message:
    """One line a case: what it is, what it saves, and its name, by which it can be acknowledged."""
    lines = []
    for one in case.holds:
        said = _found(one.about) if isinstance(one.about, Finding) else _decided(one, one.about, currency)
        saving = one.saving_rc_per_month
        amount = f", {money(saving, currency)} a month" if saving else ""
        lines.append(f"{inert(said.headline, LINE_LIMIT)}{amount} (case {inert(one.key, NAME_LIMIT)})")
    headline = f"{len(lines)} more cases of this week"
    footer = f"{inert(company, NAME_LIMIT)} · the rest of this week, so that the channel keeps to its posts"
    bullets = [f"• {mrkdwn(line, DIGEST_LINE_LIMIT)}" for line in lines]
    per_block = BLOCK_TEXT_LIMIT // (DIGEST_LINE_LIMIT + 3)
    listed = [
        _mrkdwn_section("\n".join(bullets[start : start + per_block])) for start in range(0, len(bullets), per_block)
    ]
    heading = {"type": "plain_text", "text": plain_text(headline, HEADER_LIMIT), "emoji": False}
    context = {"type": "context", "elements": [_mrkdwn_object(mrkdwn(footer, BLOCK_TEXT_LIMIT))]}
    return Message(
        case_key=case.key,
        plain="\n".join([headline, *lines, footer]),
        text=mrkdwn(f"{headline}: {'; '.join(lines)}", FALLBACK_LIMIT),
        blocks=({"type": "header", "text": heading}, *listed, context),
        headline=headline,
        lines=(*(("", line) for line in lines), ("", footer)),
    )


@dataclass(frozen=True, kw_only=True)
class _Said:
    """The words of a message, in its order; each line a label and a text."""

    headline: str
    decision: Sequence[tuple[str, str]]
    facts: Sequence[tuple[str, str]]
    at_stake: str
    command: str


def _decided(case: Case, verdict: VerdictRow, currency: str) -> _Said:
    at_stake = _at_stake(verdict, currency)
    return _Said(
        headline=f"{inert(verdict.workload, NAME_LIMIT)}: {_recommendation(verdict)}",
        decision=[
            ("Do", _what_to_do(verdict)),
            ("Why", _why(case, verdict)),
            ("By when", _by_when(verdict, currency)),
        ],
        facts=[
            ("At stake", at_stake),
            ("Break-even", _breakeven(verdict, currency)),
            ("How sure", _how_sure(verdict, currency)),
            ("Unknown", _unknown(case, verdict)),
        ],
        at_stake=at_stake,
        command=explain_command(verdict),
    )


def _found(found: Finding) -> _Said:
    return _Said(
        headline=found.headline,
        decision=[("Do", found.do), ("Why", found.why), ("By when", found.by_when)],
        facts=[("At stake", found.at_stake), ("How sure", found.how_sure), ("Unknown", found.unknown)],
        at_stake=found.at_stake,
        command=found.command,
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


def _why(case: Case, verdict: VerdictRow) -> str:
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


def _unknown(case: Case, verdict: VerdictRow) -> str:
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
    team = case.team
    of_days = "as built" if isinstance(case.about, Finding) and not case.about.is_of_settled_days else "settled data"
    parts = [
        inert(company, NAME_LIMIT),
        f"team {inert(team, NAME_LIMIT)}" if team else "no team declared",
        f"{of_days} up to {case.usage_date.isoformat()} UTC",
        f"case {inert(case.key, NAME_LIMIT)}",
    ]
    if case.done_by:
        parts.append(f"done, says {inert(case.done_by, NAME_LIMIT)}: what it saves is measured from then on")
    elif case.overtaken_by:
        parts.append(f"overtaken: what to do about these GPUs is said of {inert(case.overtaken_by, NAME_LIMIT)}")
    elif case.is_over:
        parts.append("over: nobody has to do anything any more")
    if case.acknowledged_by:
        parts.append(f"acknowledged by {inert(case.acknowledged_by, NAME_LIMIT)}")
    if case.wrong_by:
        parts.append(f"called wrong by {inert(case.wrong_by, NAME_LIMIT)}")
    if case.snoozed_until:
        parts.append(f"snoozed until {case.snoozed_until:%Y-%m-%d %H:%M} UTC")
    return " · ".join(parts)


def _day(verdict: VerdictRow) -> str:
    return f"{verdict.usage_date.isoformat()} UTC"


def _ratio(value: float) -> str:
    return f"{value:.2f}x"


def utc_text(moment: datetime) -> str:
    """An event body's spelling of a moment. Raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone; pass an aware datetime.")
    return moment.astimezone(UTC).isoformat()
