"""How a case is said: one message of it, for a terminal, for Slack and for any other outlet. Pure."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pipeline.alerts.buttons import buttons_of
from pipeline.alerts.case import Case, VerdictRow
from pipeline.alerts.finding import Finding
from pipeline.alerts.text import code, inert, money, mrkdwn, plain_text, quantity

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

RECOMMENDATIONS: Mapping[str, str] = {
    "fill": "fill the idle replicas that are already paid for",
    "release": "release replicas",
    "switch_to_self_host": "move to self-hosting",
    "switch_to_api": "move to the API",
    "stay": "stay as it is",
}


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
        f"as it is {money(verdict.current_cost_rc, currency)}",
        f"API only {money(verdict.api_only_cost_rc, currency)}",
        f"all self-hosted{replicas} {money(verdict.all_self_host_cost_rc, currency)}",
        f"best{best} {money(verdict.best_cost_rc, currency)}",
    ]
    if verdict.window_days_count is None or verdict.window_from_date is None:
        said = ", ".join(costs)
        return f"{first} {said[:1].upper()}{said[1:]}."
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
