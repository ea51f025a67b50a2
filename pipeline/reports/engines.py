"""What engines' counters say only together, in words: of rows of the questions `refused_addresses`, `engine_roles`,
`adapter_costs` and `per_use_gaps`."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.formats.currency import priced as written
from pipeline.reports import figures

Rows = Iterable[Mapping[str, Any]]


def refused_lines(rows: Rows) -> list[str]:
    """Addresses of which nothing is counted while two processes answered in turn."""
    return [
        f"{figures.visible(row['target'])} on {figures.visible(row['host'])}: two engine processes answered in turn, "
        f"{row['from_at']:%Y-%m-%d %H:%M} to {row['to_at']:%Y-%m-%d %H:%M} UTC: "
        f"{figures.counted(row['refused_count'] or 0, 'interval')} not counted. Scrape each process at its own address"
        for row in rows
    ]


def role_lines(rows: Rows) -> list[str]:
    """What of a disaggregated deployment is not counted twice, and what prompts no prefill engine is seen to count."""
    return [_roles(row) for row in rows]


def _roles(row: Mapping[str, Any]) -> str:
    if not row["prefill_count"] or not row["decode_count"]:
        known, lacks = ("compute prompts", "decode") if row["prefill_count"] else ("generate", "prefill")
        count = row["prefill_count"] or row["decode_count"]
        return (
            f"{figures.visible(row['deployment_id'])}: {figures.counted(count, 'engine')} said to {known} "
            f"({row['role_methods']}), and none of the other side is known: where one is scraped, name it under "
            f"{lacks}, else its tokens count beside these"
        )
    said = (
        f"{figures.visible(row['deployment_id'])}: {figures.counted(row['prefill_count'], 'engine')} that computed "
        f"prompts for {figures.counted(row['decode_count'], 'engine')} that generated ({row['role_methods']}): "
        f"{row['repeated_prompt_tokens']:,} prompt and {row['repeated_output_tokens']:,} generated tokens that both "
        "count are counted once"
    )
    unseen = row["decode_prompt_tokens"] - row["prefill_prompt_tokens"]
    if 10 * unseen > row["decode_prompt_tokens"]:
        said += (
            f"; {unseen:,} prompt tokens more reached those that generate than the others computed: an engine that "
            "computes prompts is not scraped, or prompts pass it by, and these are counted nowhere"
        )
    return said


def adapter_lines(rows: Rows, *, currency: str) -> list[str]:
    """Each adapter's part of its deployment, by a gateway's count; and what is not told apart, with a reason."""
    return [_adapter(row, currency) for row in rows]


def _adapter(row: Mapping[str, Any], currency: str) -> str:
    cost = "an unknown cost" if row["full_cost_rc"] is None else figures.priced(row["full_cost_rc"], currency)
    who = f"{figures.visible(row['deployment_id'])}, {figures.visible(row['served_as'])}"
    said = f"{who}: {row['tokens']:,} tokens, {cost}"
    if row["status"] == "told" and row["full_cost_rc"] is not None and row["tokens"]:
        price = figures.per_mtok(float(row["full_cost_rc"]) * 1e6 / row["tokens"])
        return f"{said}, {written(price, currency)} per million"
    if row["status"] == "told":
        return said
    return f"{said} in {figures.counted(row['days_count'], 'day')}: {row['first_reason']}"


def per_use_lines(rows: Rows, *, currency: str) -> list[str]:
    """Days of services that are billed by use which have no price, and why."""
    return [
        f"{figures.visible(row['per_use_service'])}: {figures.counted(row['days_count'], 'day')} without a price "
        + ("" if row["full_cost_rc"] is None else f"({figures.priced(row['full_cost_rc'], currency)}) ")
        + f"because {row['reason']}"
        for row in rows
    ]
