"""What is known of GPUs and gateways that nothing declares, and the one line of what would add most."""

from datetime import date
from typing import Any

from pipeline.cli.options import console, print_table
from pipeline.config.whole import Config
from pipeline.doctor.findings import Finding
from pipeline.doctor.inputs import in_words, next_input
from pipeline.formats import currency as currencies
from pipeline.formats.currency import unit
from pipeline.formats.writing import printable
from pipeline.landing.project import Project
from pipeline.reports.questions import Questions
from pipeline.reports.words import gpu_hours, million, money, per_mtok


def next_step_of(
    questions: Questions, project: Project, config: Config, *, from_date: date, to_date: date
) -> Finding | None:
    """What would add a figure. `config`: what the snapshot was built with."""
    is_landed = project.config == config
    return next_input(questions, config, from_date=from_date, to_date=to_date, is_config_landed=is_landed)


def print_next(questions: Questions, project: Project, config: Config, *, from_date: date, to_date: date) -> None:
    """`Next: ...`, where something would add a figure."""
    print_finding(next_step_of(questions, project, config, from_date=from_date, to_date=to_date))


def print_finding(found: Finding | None) -> None:
    """The same, where it is known already."""
    if found is not None:
        console().print(printable(in_words(found)), style="bold", markup=False)


def print_hosts_seen(questions: Questions, currency: str, **days: Any) -> bool:
    """Hosts that no deployment declares: what telemetry says of them. False where there are none."""
    rows = questions.ask("hosts_seen", **days).to_dicts()
    if not rows:
        return False
    print_table(
        ["host", "serves", "GPUs", "serving GPU-hours", "other GPU-hours", "tokens", f"{currency}",
         f"full {unit(currency)}/1M"],
        [
            [
                row["host"],
                row["served_names"] or "—",
                str(row["gpu_count"]),
                gpu_hours(row["serving_gpu_milliseconds"]),
                gpu_hours(row["other_gpu_milliseconds"]),
                million(row["tokens"]),
                money(row["cost_rc"], currency),
                "—" if row["cost_rc"] is None else per_mtok(row["full_rc_per_mtok"]),
            ]
            for row in rows
        ],
        "GPUs that were seen and that no deployment declares",
    )  # fmt: skip
    return True


def print_estimates(questions: Questions, **days: Any) -> bool:
    """What a gateway estimates, where the bill has not come. False where there is nothing of it."""
    rows = [row for row in questions.ask("estimates", **days).to_dicts() if not row["is_billed"]]
    if not rows:
        return False
    print_table(
        ["gateway", "provider", "model", "estimate"],
        [
            [
                row["estimating_account"],
                row["issuer"],
                row["model"] or "—",
                currencies.money(row["rated_cost"], row["billing_currency"]),
            ]
            for row in rows
        ],
        "What gateways estimate (rated: tokens x the gateway's prices; no bill of it has come)",
    )
    return True
