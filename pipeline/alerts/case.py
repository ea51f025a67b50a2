"""What to say: which workloads and subjects changed state since the last announcement. Pure; how: `message`."""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Self

from pipeline.alerts.finding import Finding
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

# What could be done about a pool of GPUs, best first, each in a sentence.
Ranked = Mapping[str, Sequence[str]]
NOTHING_RANKED: Ranked = {}
# A recommendation about GPUs of which another one is open is posted when it saves this much more.
TAKES_OVER = Decimal("1.5")

# A day whose data are not settled never speaks as a cost event, and nobody is asked to move what is pinned.
MUTED_STATUSES = frozenset({"not_settled", "pinned"})


class _Row:
    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """From a mapping with at least this row's columns (a mart's row as a dict); further columns are ignored."""
        return cls(**{column.name: row[column.name] for column in fields(cls)})  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class VerdictRow(_Row):
    """One row of fct_verdicts_daily. Money in the reporting currency; None is unknown, never 0.

    The four costs and the full-replica margin are over the window; prices, volumes and the saving name their period.
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
    current_cost_rc: Decimal | None
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
    """What the workload costs as it is served now; None where unknown."""
    if verdict.current_cost_rc is None or not verdict.window_days_count:
        return None
    days = monthrange(verdict.usage_date.year, verdict.usage_date.month)[1]
    return Fraction(verdict.current_cost_rc) * days / verdict.window_days_count


def _speaks(row: AlertRow) -> bool:
    return not row.is_frozen and bool(row.state) and row.state not in MUTED_STATUSES
