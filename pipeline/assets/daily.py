"""`daily/*`: what a person reviews each morning. Thin readers of the snapshot, with the metadata to read."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

import dagster as dg

from pipeline.assets.landing import MOST_DAYS_A_RUN
from pipeline.assets.markdown import markdown_image, markdown_table, plain_text
from pipeline.assets.resources import ProjectResource
from pipeline.config.whole import Config
from pipeline.decisions.check_results import check_results, refused_scopes
from pipeline.decisions.graph import config_of, current_snapshot
from pipeline.landing.project import Project
from pipeline.reports import certainty, figures
from pipeline.reports.curves import curves_of
from pipeline.reports.idle_runs import conflict_lines, run_lines
from pipeline.reports.pools import pool_lines
from pipeline.reports.questions import Questions
from pipeline.reports.residuals import residual_lines
from pipeline.sketch import sketch

_MOST_PICTURED = 6
_IDLE = ("loaded_idle", "unallocated")
_KINDS = ("serving", "idle", "unobserved", "conflict", "other")

Rows = Sequence[Mapping[str, Any]]
Metadata = dict[str, Any]


@dataclass(frozen=True)
class Morning:
    """One UTC day of the current snapshot, as the review assets ask for it."""

    project: Project
    questions: Questions
    day: date

    @cached_property
    def config(self) -> Config:
        return config_of(self.project, self.questions.snapshot)

    @property
    def currency(self) -> str:
        return self.config.reporting_currency

    def ask(self, question: str) -> Rows:
        return self.questions.ask(question, from_date=self.day, to_date=self.day + timedelta(days=1)).to_dicts()

    def status(self) -> Metadata:
        """What every review says first: the day, and how settled it is."""
        status = ", ".join(str(row["status"]) for row in self.ask("day_status")) or "no data"
        return {"day": f"{figures.day(self.day)} UTC: {status}"}

    def whereabouts(self) -> Metadata:
        """What every review says last: where to go on."""
        month = f"{self.day:%Y-%m}"
        report = self.project.paths.reports / f"{month}.html"
        return {
            "report": dg.MetadataValue.path(str(report))
            if report.exists()
            else dg.MetadataValue.md(f"`breakeven report --month {month}`"),
            "snapshot": self.questions.snapshot.snapshot_id,
        }


def daily_assets(partitions: dg.DailyPartitionsDefinition, marts: Sequence[dg.AssetKey]) -> list[dg.AssetsDefinition]:
    """`daily/costs`, `daily/waste`, `daily/verdicts`."""
    return [
        _review("costs", _costs, "What a million tokens really cost that day, per lane and model.", partitions, marts),
        _review("waste", _waste, "Where that day's GPU-hours went; unobserved is not idle.", partitions, marts),
        _review(
            "verdicts",
            _verdicts,
            "What each workload's own traffic says, on 28 settled days: stay, fill, release or switch.",
            partitions,
            marts,
        ),
    ]


def _review(
    name: str,
    tell: Callable[[Morning], Metadata],
    description: str,
    partitions: dg.DailyPartitionsDefinition,
    marts: Sequence[dg.AssetKey],
) -> dg.AssetsDefinition:
    @dg.asset(
        key=dg.AssetKey(["daily", name]),
        partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.multi_run(MOST_DAYS_A_RUN),
        group_name="daily",
        deps=marts,
        description=description,
    )
    def review(context: dg.AssetExecutionContext, project: dg.ResourceParam[ProjectResource]) -> None:
        snapshot = current_snapshot(project.project)
        laws = _broken_laws(refused_scopes(check_results(snapshot)))
        with Questions(snapshot) as questions:
            for partition in context.partition_keys:
                morning = Morning(project.project, questions, date.fromisoformat(partition))
                metadata = {**morning.status(), **laws, **tell(morning), **morning.whereabouts()}
                context.add_asset_metadata(metadata, partition_key=partition)

    return review


def _broken_laws(refused: Mapping[str, Sequence[str]]) -> Metadata:
    if not refused:
        return {}
    lines = [f"- {plain_text(scope)}: {plain_text(', '.join(laws))}" for scope, laws in sorted(refused.items())]
    return {"laws broken": dg.MetadataValue.md("\n".join(lines))}


def _costs(morning: Morning) -> Metadata:
    currency = morning.currency
    rows = morning.ask("unit_costs")
    spent = [row for row in morning.ask("headline") if row["realized_cost_rc"] is not None]
    unknown = morning.ask("unknown_costs")
    table = markdown_table(
        [
            "model, served by (cost is)",
            "Mtok",
            currency,
            "full",
            "active",
            "marginal",
        ],
        [
            [
                f"{figures.name(row['model'])}, {figures.name(row['served_by'])} ({row['cost_measures']})",
                figures.millions(row["tokens"]),
                figures.money(row["full_cost_rc"], currency),
                figures.per_mtok(row["full_rc_per_mtok"]),
                figures.per_mtok(row["active_rc_per_mtok"]),
                figures.per_mtok(row["marginal_rc_per_mtok"]),
            ]
            for row in rows
        ],
        numbers_from=1,
    )
    return {
        f"unit costs ({currency}/Mtok)": dg.MetadataValue.md(
            table if rows else "Nothing was both paid for and counted on this day."
        ),
        # Numbers of their own: Dagster draws them over the days.
        **{
            f"{_lane(row['lane'])}, {row['cost_measure']} ({currency})": round(float(row["realized_cost_rc"]), 2)
            for row in spent
        },
        **({"unknown costs": dg.MetadataValue.md(f"{len(unknown)}: `breakeven status`")} if unknown else {}),
        "proof": dg.MetadataValue.md(f"`breakeven explain cost --date {morning.day}`"),
    }


def _lane(lane: str) -> str:
    return lane.replace("_", "-")


def _waste(morning: Morning) -> Metadata:
    currency = morning.currency
    rows = [row for row in morning.ask("waste") if row["gpu_milliseconds"] is not None]
    hours: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_KINDS, 0))
    idle_costs: dict[str, list[Decimal | None]] = defaultdict(list)
    measures: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        kind = _kind(row["state"])
        hours[row["deployment_id"]][kind] += row["gpu_milliseconds"]
        measures[row["deployment_id"]].add(row["cost_measure"])
        if kind == "idle":
            idle_costs[row["deployment_id"]].append(row["realized_cost_rc"])
    table = markdown_table(
        ["deployment", "cost is", *(f"{kind} GPU-hours" for kind in _KINDS), f"idle {currency}"],
        [
            [
                deployment,
                "+".join(sorted(measures[deployment])),
                *(figures.hours(_in_hours(held[kind])) for kind in _KINDS),
                figures.money(_sum(idle_costs[deployment]), currency),
            ]
            for deployment, held in sorted(hours.items())
        ],
        numbers_from=2,
    )
    totals = {kind: sum(held[kind] for held in hours.values()) for kind in _KINDS}
    idle_cost = _sum([cost for costs in idle_costs.values() for cost in costs])
    return {
        "in short": _in_short(morning, totals, idle_cost, hours),
        "GPU-hours": dg.MetadataValue.md(table if rows else "No GPU time is known for this day."),
        **({f"{kind} GPU-hours": round(float(_in_hours(totals[kind])), 2) for kind in _KINDS} if rows else {}),
        **({f"idle {currency}": round(float(idle_cost), 2)} if rows and idle_cost is not None else {}),
        **_listed("pools", pool_lines(morning.ask("gpu_waste"), currency=currency)),
        **_listed("idle runs", run_lines(morning.ask("idle_runs"), currency=currency)),
        **_listed("billed beside the agreed rate", residual_lines(morning.ask("billing_residuals"))),
        **_listed("feeds that disagree", conflict_lines(morning.ask("telemetry_conflicts"))),
        "proof": dg.MetadataValue.md(f"`breakeven explain waste --date {morning.day}`"),
    }


def _listed(name: str, lines: Sequence[str]) -> Metadata:
    return {name: dg.MetadataValue.md("\n".join(f"- {plain_text(line)}" for line in lines))} if lines else {}


def _kind(state: str) -> str:
    if state in _IDLE:
        return "idle"
    return state if state in ("serving", "unobserved", "conflict") else "other"


def _in_short(
    morning: Morning, totals: Mapping[str, int], idle_cost: Decimal | None, hours: Mapping[str, Mapping[str, int]]
) -> str:
    """`GPU idle: 41.00 of 96.00 GPU-hours, $102.09, 1 Nov 2026 UTC. Top: chat (24.00 h). 3.00 h unobserved.`"""
    if not hours:
        return f"No GPU time is known, {figures.day(morning.day)} UTC."
    top = max(sorted(hours), key=lambda deployment: hours[deployment]["idle"])
    return (
        f"GPU idle: {figures.hours(_in_hours(totals['idle']))} of {figures.hours(_in_hours(sum(totals.values())))} "
        f"GPU-hours, {figures.priced(idle_cost, morning.currency)}, {figures.day(morning.day)} UTC. "
        f"Top: {figures.visible(top)} ({figures.hours(_in_hours(hours[top]['idle']))} h). "
        f"{figures.hours(_in_hours(totals['unobserved']))} h unobserved."
        + (f" {figures.hours(_in_hours(totals['conflict']))} h in which feeds disagree." if totals["conflict"] else "")
    )


def _in_hours(milliseconds: int) -> Decimal:
    return Decimal(milliseconds) / 3_600_000


def _sum(costs: Sequence[Decimal | None]) -> Decimal | None:
    """Unknown as soon as a part of it is."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, start=Decimal(0)) if len(known) == len(costs) else None


def _verdicts(morning: Morning) -> Metadata:
    currency = morning.currency
    rows = morning.ask("verdicts")
    # What matters most stands first: a page that is too narrow cuts the end.
    table = markdown_table(
        [
            "workload: advice (state)",
            "saves a month",
            "as it is",
            "best",
            "API only",
            "self-hosted",
            "of break-even",
            "Mtok/day",
        ],
        [
            [
                f"{row['workload']}: {_advice(row, morning.day)} ({_words(row['state'])})",
                figures.money(row["saving_rc_per_month"], currency),
                figures.money(row["current_cost_rc"], currency),
                figures.money(row["best_cost_rc"], currency),
                figures.money(row["api_only_cost_rc"], currency),
                figures.money(row["all_self_host_cost_rc"], currency),
                figures.ratio(row["demand_ratio"]),
                figures.millions(row["demand_tokens_per_day"]),
            ]
            for row in rows
        ],
        numbers_from=1,
    )
    commands = "\n".join(f"- `breakeven explain verdict {_quoted(row['workload'])}`" for row in rows)
    opened = "\n".join(
        f"- {plain_text(row['workload'])}: {plain_text(row['reason'])}"
        for row in rows
        if row["status"] in ("conditions", "bracketed") and row["reason"]
    )
    sure = _certainties(morning, rows)
    watched = "\n".join(f"- {plain_text(line)}" for line in filter(None, map(certainty.watch, sure)))
    certain = "\n".join(
        f"- {plain_text(row['workload'])}: {plain_text(certainty.sentence(row, currency))}" for row in sure
    )
    return {
        **({"watched": dg.MetadataValue.md(watched)} if watched else {}),
        f"verdicts (28 days, {currency})": dg.MetadataValue.md(
            table if rows else "No workload is declared, or none has a day yet."
        ),
        **({"curves": dg.MetadataValue.md(curves)} if (curves := _curves(morning, rows)) else {}),
        **({"what would decide the rest": dg.MetadataValue.md(opened)} if opened else {}),
        **({"how sure": dg.MetadataValue.md(certain)} if certain else {}),
        "decided workloads": sum(row["status"] == "decided" for row in rows),
        "proof": dg.MetadataValue.md(commands or "`breakeven status`"),
    }


def _certainties(morning: Morning, verdicts: Rows) -> Rows:
    """How sure the verdicts shown are: an interval is of the newest settled day of a month, so some days have none."""
    until = morning.day + timedelta(days=1)
    found = morning.questions.ask("verdict_certainty", from_date=date.min, to_date=until).to_dicts()
    shown = {(row["workload"], row["usage_date"]) for row in verdicts}
    return [row for row in found if (row["workload"], row["usage_date"]) in shown]


def _curves(morning: Morning, rows: Rows) -> str:
    """Which load pays a replica and where the lanes cross, by the verdicts shown: in words, and pictures of the
    workloads with most at stake.
    """
    until = morning.day + timedelta(days=1)
    asked = morning.questions.ask("workload_curves", from_date=date.min, to_date=until).to_dicts()
    found = {row["workload"]: row for row in asked}
    ranked = sorted(rows, key=lambda row: (-abs(row["saving_rc_per_month"] or 0), row["workload"]))
    pictured = {row["workload"] for row in ranked[:_MOST_PICTURED]}
    parts = []
    for row in rows:
        for curve in curves_of(row, found.get(row["workload"]), morning.config):
            said = f"**{plain_text(curve.title)}.** {plain_text(curve.says)}"
            is_pictured = row["workload"] in pictured
            parts.append(f"{said}\n\n{markdown_image(sketch(curve.drawn), curve.title)}" if is_pictured else said)
    if parts:
        parts.append("Drawn with care: `breakeven verdict --charts FOLDER`, and in the month's report.")
    return "\n\n".join(parts)


def _advice(row: Mapping[str, Any], day: date) -> str:
    """What to do, or why nothing is said; with its day where that is not the day reviewed."""
    advice = _words(row["recommendation"] if row["status"] == "decided" else row["status"])
    return advice if row["usage_date"] == day else f"{advice} ({figures.day(row['usage_date'])})"


def _words(value: str | None) -> str:
    return figures.UNKNOWN if value is None else value.replace("_", " ")


def _quoted(workload: str) -> str:
    return figures.visible(workload).replace("`", "'")
