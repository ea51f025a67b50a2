"""What `demo` and `run` print: the answers, in the order a person asks them."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pipeline.alerts.outlets import outlets_set
from pipeline.alerts.problems import open_problems
from pipeline.alerts.sending import AlertError
from pipeline.alerts.shadow import speaking
from pipeline.alerts.slack import outlet_from_config
from pipeline.alerts.told import PRINTED
from pipeline.build.landed_tables import Landed
from pipeline.build.snapshot import Snapshot
from pipeline.cli.conversion import print_unconverted, unconverted
from pipeline.cli.doubts import print_conditions, print_doubts
from pipeline.cli.next_line import next_step_of, print_estimates, print_finding, print_hosts_seen
from pipeline.cli.options import console, print_table
from pipeline.decisions.check_results import CheckResult, check_results
from pipeline.decisions.graph import config_of
from pipeline.decisions.quarantine import QuarantineEntry, quarantine_list
from pipeline.doctor.findings import Finding
from pipeline.formats.currency import unit
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.landing.records import Event
from pipeline.reports.figures import counted
from pipeline.reports.questions import Questions
from pipeline.reports.words import gpu_hours, million, money, per_mtok, ratio

_PERIOD_DAYS = 30
_IDLE = ("loaded_idle", "unallocated")


def print_answers(project: Project, snapshot: Snapshot) -> None:
    """Unit costs, idle GPUs, verdicts."""
    config = config_of(project, snapshot)
    currency = config.reporting_currency
    to_date = snapshot.as_of.date()
    from_date = to_date - timedelta(days=_PERIOD_DAYS)
    period = f"{from_date} to {to_date - timedelta(days=1)} UTC"
    days: dict[str, Any] = {"from_date": from_date, "to_date": to_date}
    with Questions(snapshot, from_date=from_date) as of_period, Questions(snapshot) as of_all_days:
        told = [
            _unit_costs(of_period, period, currency, **days),
            _waste(of_period, period, currency, **days),
            print_hosts_seen(of_period, currency, **days),
            print_estimates(of_period, **days),
            # A year of verdicts is a file a day: who still has them has some of the period.
            _verdicts(of_period, currency, to_date=to_date) or _verdicts(of_all_days, currency, to_date=to_date),
        ]
        if not any(told):
            console().print(f"No figure of {period} can be given yet.")
        print_unconverted(unconverted(of_all_days, config, **days))


def messages_so_far(project: Project) -> frozenset[str]:
    """The ids of the messages that were printed for want of a token, each of them an event that stays."""
    return frozenset(event.event_id for event in project.landing.events(PRINTED))


@dataclass(frozen=True)
class SnapshotTold:
    """What a snapshot says beside its answers, whatever Slack is told."""

    snapshot: Snapshot
    laws: Sequence[CheckResult]
    quarantined: Sequence[QuarantineEntry]
    next_step: Finding | None


def told_by_snapshot(project: Project, snapshot: Snapshot, *, landed: Landed | None) -> SnapshotTold:
    """Which laws held, what counts nowhere, and what would add most. `landed`: what the snapshot was built of, where it
    was read for that just before.
    """
    to_date = snapshot.as_of.date()
    from_date = to_date - timedelta(days=_PERIOD_DAYS)
    with Questions(snapshot, from_date=from_date) as questions:
        config = config_of(project, snapshot)
        finding = next_step_of(questions, project, config, from_date=from_date, to_date=to_date)
    return SnapshotTold(
        snapshot=snapshot,
        laws=check_results(snapshot),
        quarantined=quarantine_list(project, as_of=snapshot.as_of, landed=landed),
        next_step=finding,
    )


def print_told(project: Project, told: SnapshotTold, *, before: Collection[str]) -> None:
    """What Slack would be told that is not among the messages of `before`, and then what the snapshot says."""
    _messages(project, before)
    _laws(told.laws)
    console().print(f"[dim]snapshot {told.snapshot.snapshot_id}, as of {told.snapshot.as_of:%Y-%m-%d %H:%M} UTC[/dim]")
    _quarantine(told.quarantined)
    print_finding(told.next_step)


def _unit_costs(questions: Questions, period: str, currency: str, **days: object) -> bool:
    """False where there is nothing of it, as each of these: an empty table says less than none."""
    rows = questions.ask("unit_costs", **days).to_dicts()
    if not rows:
        return False
    print_table(
        [
            "lane",
            "model",
            "served by",
            "cost is",
            "tokens",
            f"{currency} spent",
            f"full {unit(currency)}/1M",
            f"active {unit(currency)}/1M",
            f"marginal {unit(currency)}/1M",
        ],
        [
            [
                row["lane"],
                row["model"] or "—",
                row["served_by"] or "—",
                row["cost_measures"],
                million(row["tokens"]),
                money(row["full_cost_rc"], currency),
                per_mtok(row["full_rc_per_mtok"]),
                per_mtok(row["active_rc_per_mtok"]),
                per_mtok(row["marginal_rc_per_mtok"]),
            ]
            for row in rows
        ],
        f"What a million tokens really cost, {period}",
    )
    return True


def _waste(questions: Questions, period: str, currency: str, **days: object) -> bool:
    totals: dict[str, dict[str, _Held]] = {}
    for row in questions.ask("waste", **days).to_dicts():
        if row["gpu_milliseconds"] is None:
            continue
        kind = (
            "idle" if row["state"] in _IDLE else row["state"] if row["state"] in ("unobserved", "serving") else "other"
        )
        held = totals.setdefault(row["deployment_id"], {}).setdefault(kind, _Held())
        held.milliseconds += row["gpu_milliseconds"]
        held.costs.append(row["realized_cost_rc"])
    if not totals:
        return False
    print_table(
        [
            "deployment",
            "serving GPU-hours",
            "idle GPU-hours",
            f"idle {currency}",
            "unobserved GPU-hours",
            "other GPU-hours",
        ],
        [
            [
                deployment,
                _hours(kinds, "serving"),
                _hours(kinds, "idle"),
                money(kinds["idle"].cost() if "idle" in kinds else Decimal(0), currency),
                _hours(kinds, "unobserved"),
                _hours(kinds, "other"),
            ]
            for deployment, kinds in sorted(totals.items())
        ],
        f"What idle GPUs cost, {period} (unobserved is never called idle)",
    )
    return True


@dataclass
class _Held:
    """GPU time of one kind, and its cost: unknown as soon as a part of it is."""

    milliseconds: int = 0
    costs: list[Decimal | None] = field(default_factory=list)

    def cost(self) -> Decimal | None:
        known = [cost for cost in self.costs if cost is not None]
        return sum(known, start=Decimal(0)) if len(known) == len(self.costs) else None


def _hours(kinds: dict[str, _Held], kind: str) -> str:
    return gpu_hours(kinds[kind].milliseconds) if kind in kinds else "0.0"


def _verdicts(questions: Questions, currency: str, *, to_date: date) -> bool:
    rows = questions.ask("verdicts", to_date=to_date).to_dicts()
    if not rows:
        return False
    days = {row["usage_date"] for row in rows}
    print_table(
        [
            "workload",
            *(["day"] if len(days) > 1 else []),
            "Mtok/day",
            "first break-even",
            "ratio",
            "as it is",
            "API only",
            "self-hosted",
            "best",
            "advice",
        ],
        [
            [
                row["workload"],
                *([str(row["usage_date"])] if len(days) > 1 else []),
                million(row["demand_tokens_per_day"]),
                million(row["breakeven_first_tokens_per_day"]),
                ratio(row["demand_ratio"]),
                money(row["current_cost_rc"], currency),
                money(row["api_only_cost_rc"], currency),
                money(row["all_self_host_cost_rc"], currency),
                _best(row, currency),
                _advice(row),
            ]
            for row in rows
        ],
        f"What each workload's own traffic says (28 settled days{'' if len(days) > 1 else f' to {max(days)}'})",
    )
    print_conditions(rows)
    print_doubts(questions, rows, to_date=to_date)
    return True


def _best(row: dict[str, Any], currency: str) -> str:
    if row["best_cost_rc"] is None:
        return "—"
    cost, count = money(row["best_cost_rc"], currency), row["best_replica_count"]
    # Two spreads of a day may cost the same with another count each.
    return cost if count is None else f"{cost} ({counted(count, 'replica')})"


def _advice(row: dict[str, Any]) -> str:
    if row["status"] == "decided":
        return str(row["recommendation"]).replace("_", " ")
    return str(row["status"]).replace("_", " ")


def _messages(project: Project, before: Collection[str]) -> None:
    out = console()
    events = project.landing.events()
    printed = [event for event in events if event.kind == PRINTED and event.event_id not in before]
    why = _why_only_printed(project, events) if printed else ""
    for event in printed:
        out.print(f"\n[bold]Slack would be told[/bold] ({why}, so it is stored and printed):")
        out.print(str(event.body["plain"]), markup=False)
    for problem in open_problems(events):
        out.print(f"MESSAGE {problem.in_words}", style="yellow", markup=False)
    if not printed:
        out.print("\nNothing new to tell Slack.")


def _why_only_printed(project: Project, events: Sequence[Event]) -> str:
    try:
        is_set = outlet_from_config(project.config.slack, environment=os.environ) is not None
    except AlertError:
        is_set = False
    is_set = is_set or bool(outlets_set(project.config, environment=os.environ))
    is_shadow = is_set and not speaking(events).is_enabled
    return "nothing is posted before `breakeven alerts enable`" if is_shadow else "no token is set"


def _laws(results: Sequence[CheckResult]) -> None:
    out = console()
    broken = [result for result in results if not result.passed]
    laws = {result.law for result in results}
    out.print(f"\n{len(laws) - len({result.law for result in broken})} of {len(laws)} laws held.", end=" ")
    for result in broken:
        out.print(printable(f"\nLAW BROKEN {result.law} ({result.scope}): {result.detail}"), style="red", markup=False)


def _quarantine(entries: Sequence[QuarantineEntry]) -> None:
    """What was dropped and counts nowhere: figures without it look whole."""
    if entries:
        files = counted(len(entries), "file in quarantine counts", "files in quarantine count")
        said = f"{files} nowhere: `breakeven status` says why. {entries[0]}"
        console().print(printable(said), style="red", markup=False)
