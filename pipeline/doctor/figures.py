"""The figures themselves: laws that do not hold, and money and GPU time that belong to nobody."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import yaml

from pipeline.build.snapshot import Snapshot
from pipeline.config.gpus import CapacityBlock
from pipeline.config.whole import Config
from pipeline.decisions.check_results import check_results
from pipeline.doctor.findings import Cost, Finding
from pipeline.formats import currency as currencies
from pipeline.reports.budgets import STATUSES, budget_name
from pipeline.reports.engines import per_use_lines, refused_lines
from pipeline.reports.figures import counted, fixed, percent
from pipeline.reports.prepaid import lasts, prepaid_name
from pipeline.reports.questions import Questions

AREA = "figures"
DAYS = 30
# Its vendor's word for the division of an account; the other's word matches as well.
_PROJECT_PROVIDERS = ("openai",)
_DIVISION = "sub_account_id"
# What rules call the division of an account that has no name, whatever its vendor calls it.
_DEFAULT = "Default"
# A rule that names a dated id claims the undated one too.
_DATED = re.compile(r"-20[0-9]{6}$")
# From the coarsest, which says the most at once, to the finest.
_RULES = (
    ("provider", "account", _DIVISION),
    ("provider", "account", _DIVISION, "api_key_id"),
    ("provider", "account", _DIVISION, "model"),
)
# A name that does not fit on a screen is not copied from one.
_LONGEST_LINE = 200
_MILLISECONDS_PER_HOUR = 3_600_000
_OF_PREPAID: Mapping[str, str] = {
    "unexplained_cost": "of what the provider shows is unexplained",
    "unreceipted_purchase_cost": "bought without a receipt of its reference",
    "unpurchased_receipt_cost": "of receipts tie to no purchase",
}
# An invoice that has to be approved takes a week.
_SHORT_RUNWAY_DAYS = 7
# Eight weeks before its first day at the earliest, and half a year long.
_BLOCK_FEES_LOOKED_FOR = timedelta(days=240)

Row = Mapping[str, Any]


def law_findings(snapshot: Snapshot) -> list[Finding]:
    """Every law that is broken, by scope; one line where all held."""
    results = check_results(snapshot)
    broken = [
        _found(
            "laws", "fix", f"{result.law} is broken for {result.scope}: {result.detail}",
            fix=f"infra/RUNBOOK.md, Checks, {result.law}", cost=Cost.FIGURES_REFUSED,
        )
        for result in results
        if not result.passed
    ]  # fmt: skip
    laws = len({result.law for result in results})
    return broken or [_found("laws", "ok", f"{laws} of {laws} laws held")]


@dataclass(frozen=True)
class Line:
    """One line worth writing, and what of the last days it would have covered. `where`: the list it belongs in."""

    where: str
    text: str
    cost_rc: Decimal | None
    gpu_milliseconds: int = 0

    @property
    def worth(self) -> tuple[Decimal, int]:
        return self.cost_rc or Decimal(0), self.gpu_milliseconds


def mapping_findings(
    questions: Questions, config: Config, *, from_date: date, to_date: date, is_config_landed: bool
) -> list[Finding]:
    """What share of dollars and GPU-hours belongs to a workload and a deployment, and the line worth writing next.

    A line is proposed only where what it would claim can be said exactly: nothing that another rule claims already.
    """
    days: dict[str, Any] = {"from_date": from_date, "to_date": to_date}
    api = questions.ask("unassigned_api", **days).to_dicts()
    gpus = questions.ask("unassigned_gpu", **days).to_dicts()
    lines = [*api_lines(api), *gpu_lines(gpus, config)] if is_config_landed else []
    best = max(lines, key=lambda line: line.worth, default=None)
    return [found for found in (_of_api(api, config, best), _of_gpus(gpus, config, best)) if found is not None]


def _of_api(rows: Sequence[Row], config: Config, best: Line | None) -> Finding | None:
    total = _sum(row["billed_cost_rc"] for row in rows)
    if not any(row["billed_cost_rc"] is not None for row in rows):
        return None
    unassigned = _sum(row["of_which_unassigned_cost_rc"] for row in rows)
    money = currencies.money(total, config.reporting_currency)
    unconverted = "; what is not converted is not in it" if any(row["has_unconverted"] for row in rows) else ""
    span = f"of {money} of API cost in {DAYS} days"
    if not unassigned:
        return _found("workloads", "ok", f"all {span} belongs to a workload{unconverted}", subject="workloads")
    said = f"{percent(total - unassigned, total)} {span} belongs to a workload{unconverted}"
    return _worth_writing("workloads", said, best if best and best.where == _MATCH else None, config)


def _of_gpus(rows: Sequence[Row], config: Config, best: Line | None) -> Finding | None:
    total = sum(row["gpu_milliseconds"] for row in rows)
    if not total:
        return None
    unassigned = sum(row["of_which_unassigned_gpu_milliseconds"] or 0 for row in rows)
    span = f"of {_hours(total)} GPU-hours in {DAYS} days"
    if not unassigned:
        return _found("deployments", "ok", f"all {span} belong to a deployment", subject="deployments")
    said = f"{percent(total - unassigned, total)} {span} belong to a deployment"
    return _worth_writing("deployments", said, best if best and best.where == _HOSTS else None, config)


def budget_findings(questions: Questions, *, to_date: date) -> list[Finding]:
    """What became of each budget of the newest month; one of which nothing can be said needs a look at its line."""
    day = to_date - timedelta(days=1)
    rows = questions.ask("budgets", from_date=day.replace(day=1), to_date=to_date).to_dicts()
    if not rows:
        return []
    unknown = [row for row in rows if row["status"] == "unknown"]
    said = ", ".join(
        f"{count} {STATUSES[status]}" for status in STATUSES if (count := sum(row["status"] == status for row in rows))
    )
    said = f"of {counted(len(rows), 'budget')} of {day:%Y-%m}: {said}"
    if not unknown:
        return [_found("budgets", "ok", said, subject="budgets")]
    fix = "; ".join(f"{budget_name(row)}: {row['reason']}" for row in unknown)
    return [_found("budgets", "note", said, subject="budgets", fix=fix, cost=Cost.FIGURE_LACKS_AN_INPUT)]


def prepaid_findings(questions: Questions, *, from_date: date, to_date: date) -> list[Finding]:
    """How long each prepaid account lasts; one that soon ends, or of which nobody knows what it holds, needs a look."""
    return [_of_prepaid(row) for row in questions.ask("prepaid", from_date=from_date, to_date=to_date).to_dicts()]


def _of_prepaid(row: Row) -> Finding:
    name = prepaid_name(row)
    if row["balance_date"] is None:
        fix = (
            "Have its provider asked (source prepaid_balance), or write down what it shows at a day's end as a "
            "`balance` in the files of prepaid_csv"
        )
        said = f"{name}: its balance is unknown"
        return _found("prepaid", "note", said, subject="prepaid", fix=fix, cost=Cost.FIGURE_LACKS_AN_INPUT)
    held = currencies.money(row["closing_balance_cost"], row["billing_currency"])
    said = f"{name}: {held} left, lasts {lasts(row)}"
    for column, words in _OF_PREPAID.items():
        if row[column]:
            said = f"{said}; {currencies.money(row[column], row['billing_currency'])} {words}"
    if row["runway_days_count"] is None or row["runway_days_count"] >= _SHORT_RUNWAY_DAYS:
        return _found("prepaid", "ok", said, subject="prepaid")
    fix = "Buy credits, or see that the provider buys them by itself, and write the purchase down"
    return _found("prepaid", "fix", said, subject="prepaid", fix=fix, cost=Cost.PREPAID_RUNS_OUT)


def block_findings(questions: Questions, config: Config, *, to_date: date) -> list[Finding]:
    """Capacity blocks whose fee no bill has, or of which another block's could be it; and fees that no block claims."""
    rows = questions.ask("capacity_blocks", from_date=to_date - _BLOCK_FEES_LOOKED_FOR, to_date=to_date).to_dicts()
    blocks = config.capacity_blocks
    found = [*filter(None, (_of_block(block, rows) for block in blocks)), *map(_of_fee, _unclaimed(rows))]
    if blocks and not found:
        said = f"of {counted(len(blocks), 'capacity block')} each has its fee on a bill"
        return [_found("capacity_blocks", "ok", said, subject="capacity_blocks")]
    return found


def _unclaimed(rows: Sequence[Row]) -> list[Row]:
    """Fees that no block is said to claim. Of those that several do, these have a line each."""
    disputed = {(row["account"], row["fee_date"], row["fee_cost"]) for row in rows if row["block_count"] > 1}
    return [
        row
        for row in rows
        if not row["block_count"] and (row["account"], row["fee_date"], row["fee_cost"]) not in disputed
    ]


def _of_block(block: CapacityBlock, rows: Iterable[Row]) -> Finding | None:
    its = (block.account, block.reservation, block.invoice, block.starts_at.replace(tzinfo=None))
    fees = [
        row for row in rows if (row["account"], row["reservation_id"], row["invoice_id"], row["block_start_at"]) == its
    ]
    kinds = sorted({row["fee_of"] for row in fees})
    name = f"capacity block {block.named} of {block.account}"
    disputed = sum(row["block_count"] > 1 for row in fees)
    if disputed:
        said = f"{name}: {counted(disputed, 'fee')} could be another declared block's too, and is not spread"
        fix = "Say in both entries of capacity_blocks which `invoice` is which"
    elif block.reservation is None and len(kinds) > 1:
        said = f"{name}: fees of {len(kinds)} kinds are on it, and all are spread: {'; '.join(kinds)}"
        fix = "Say its `reservation` too, so that it takes its own fee alone"
    elif not fees:
        said = f"{name}: no fee on its bills is its, so nothing is spread"
        fix = (
            "Compare it with `charge_category` Purchase in fct_cloud_charges_daily: `resource_id`, `invoice_id`, "
            "and the year of its `from`"
        )
    else:
        return None
    return _found("capacity_blocks", "note", said, subject="capacity_blocks", fix=fix, cost=Cost.FIGURE_LACKS_AN_INPUT)


def _of_fee(row: Row) -> Finding:
    invoice = "" if row["invoice_id"] is None else f" on invoice {row['invoice_id']}"
    cost = currencies.money(row["fee_cost"], row["billing_currency"])
    said = (
        f"{row['reservation_id']} of {row['account']}: its fee of {cost}{invoice} is all a cost of {row['fee_date']}, "
        "when it was bought"
    )
    fix = "Say under capacity_blocks when it lasts: {account, reservation, from, to}, moments with their offset"
    return _found("capacity_blocks", "note", said, subject="capacity_blocks", fix=fix, cost=Cost.FIGURE_LACKS_AN_INPUT)


def engine_findings(questions: Questions, config: Config, *, from_date: date, to_date: date) -> list[Finding]:
    """Engines of which nothing can be counted, and services billed by use whose days have no price."""
    days: dict[str, Any] = {"from_date": from_date, "to_date": to_date}
    found = [
        _found("engines", "note", said, subject="engines", fix=fix, cost=Cost.FIGURE_LACKS_AN_INPUT)
        for said, _, fix in (
            line.rpartition(". ") for line in refused_lines(questions.ask("refused_addresses", **days).to_dicts())
        )
    ]
    gaps = questions.ask("per_use_gaps", **days).to_dicts()
    return found + [
        _found(
            "per_use",
            "note",
            line,
            subject="per_use",
            fix="Under per_use in breakeven.yaml: `charges` say which lines, `tokens` whose requests are its",
            cost=Cost.FIGURE_LACKS_AN_INPUT,
            at_stake_rc=row["full_cost_rc"],
        )
        for row, line in zip(gaps, per_use_lines(gaps, currency=config.reporting_currency), strict=True)
    ]


_MATCH = "a workload's match"
_HOSTS = "a deployment"


def _worth_writing(check: str, said: str, line: Line | None, config: Config) -> Finding:
    if line is None:
        return _found(check, "note", said, subject=check)
    return _found(
        check,
        "note",
        said,
        subject=check,
        fix=f"In breakeven.yaml, under {line.where}, this covers {_worth(line, config)} of the last {DAYS} days:",
        line=line.text,
        cost=Cost.BELONGS_TO_NOBODY,
        at_stake_rc=line.cost_rc,
    )


def _worth(line: Line, config: Config) -> str:
    money = None if line.cost_rc is None else currencies.money(line.cost_rc, config.reporting_currency)
    hours = f"{_hours(line.gpu_milliseconds)} GPU-hours" if line.gpu_milliseconds else None
    return f"{hours} ({money})" if hours and money else hours or money or "an unknown amount"


@dataclass
class _Group:
    """What one rule would claim. It is free as long as no workload claims any of it."""

    cost_rc: Decimal = Decimal(0)
    is_free: bool = True


def api_lines(rows: Sequence[Row]) -> Iterator[Line]:
    """The best rule for a workload, of each kind, that claims nothing another workload claims.

    `rows`: of the question `unassigned_api`. Of rules that cover as much, the coarsest.
    """
    for names in _RULES:
        groups: dict[tuple[str | None, ...], _Group] = defaultdict(_Group)
        for row in rows:
            group = groups[tuple(_DEFAULT if name == _DIVISION and row[name] is None else row[name] for name in names)]
            group.cost_rc += row["of_which_unassigned_cost_rc"] or 0
            group.is_free &= row["claiming_workload_count"] == 0
        for values, group in groups.items():
            said = dict(zip(names, values, strict=True))
            if (
                group.is_free
                and group.cost_rc > 0
                and None not in values
                and not _DATED.search(said.get("model") or "")
            ):
                text = f"- {as_yaml(_rule(said))}"
                if len(text) <= _LONGEST_LINE:
                    yield Line(_MATCH, text, group.cost_rc)


def _rule(said: Mapping[str, str | None]) -> dict[str, str | None]:
    """A rule as a person writes it."""
    division = "project" if said["provider"] in _PROJECT_PROVIDERS else "workspace"
    words = {_DIVISION: division, "api_key_id": "api_key"}
    return {words.get(name, name): value for name, value in said.items()}


def gpu_lines(rows: Sequence[Row], config: Config) -> Iterator[Line]:
    """Hosts that no deployment declares and of whose GPU time none has a deployment. `rows`: of `unassigned_gpu`."""
    declared = {host for deployment in config.deployments for host in deployment.hosts}
    by_host: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["host"] is not None:
            by_host[row["host"]].append(row)
    for host, resources in sorted(by_host.items()):
        free = all(row["of_which_unassigned_gpu_milliseconds"] == row["gpu_milliseconds"] for row in resources)
        if free and host not in declared:
            costs = [row["unassigned_cost_rc"] for row in resources]
            yield Line(
                _HOSTS,
                f"hosts: {as_yaml([host])}",
                None if None in costs else _sum(costs),
                sum(row["gpu_milliseconds"] for row in resources),
            )


def as_yaml(value: object) -> str:
    """On one line, read back by YAML as exactly this value; what does not print is escaped."""
    text = _dumped(value, allow_unicode=True)
    return text if text.isprintable() else _dumped(value, allow_unicode=False)


def _dumped(value: object, *, allow_unicode: bool) -> str:
    text = yaml.dump(
        value, Dumper=_OneLine, default_flow_style=True, width=10**6, allow_unicode=allow_unicode, sort_keys=False
    )
    # A scalar alone is ended by a line of three dots.
    return text.strip().removesuffix("\n...")


class _OneLine(yaml.SafeDumper):
    """Between single quotes a line break stays one, and what follows it stands on a line of its own."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_OneLine.add_representer(str, _text)


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((amount for amount in amounts if amount is not None), start=Decimal(0))


def _hours(milliseconds: int) -> str:
    return fixed(Decimal(milliseconds) / _MILLISECONDS_PER_HOUR, 1)


def _found(check: str, state: Any, said: str, subject: str = "laws", **more: Any) -> Finding:
    return Finding(AREA, subject, check, state, said, **more)
