"""Which way each workload's verdict must point, by schoolbook arithmetic on the generated totals."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from pipeline.demo import cloud_bills, company, euro_bills, openai_traffic
from pipeline.demo.truth import ExpectedVerdict, TokenTotal

_RATE_PER_GPU_HOUR = Decimal(company.GPU_HOUR_RATE_CENTS) / 100
# Monthly overhead by deployment, as breakeven.yaml declares it; a November day is 1/30 of it.
_OVERHEAD_MONTHLY = {
    "chat-llama": Decimal(600),
    "search-qwen": Decimal(300),
    "batch-gemma": Decimal(200),
    "triage-llama": Decimal(120),
}
_OWNED_NOVEMBER_DAY = Decimal("93") + Decimal("15.50") + Decimal("12.7008")

# A realized rate (storage, support, tax on top) or another month length moves a break-even by this much at most.
_TOLERANCE = Decimal("0.12")


def replica_day_cost(deployment: str) -> Decimal:
    """Dollars one replica costs on a November day, without overhead."""
    if deployment == "batch-gemma":
        return _OWNED_NOVEMBER_DAY / 4
    if deployment == "triage-llama":
        return (_covered_hour() + _nord_hour()) / 2 * 24
    return _RATE_PER_GPU_HOUR * 2 * 24


def _covered_hour() -> Decimal:
    return Decimal(cloud_bills.COVERED_HOUR) / 10**10


def _nord_hour() -> Decimal:
    """In dollars, at the mean of the window's rates."""
    since = company.LAST_DAY - timedelta(days=27)
    rate = euro_bills.mean_dollars_per_euro(since, company.LAST_DAY)
    return Decimal(euro_bills.HOUR_RATE_CENTS) / 100 * rate


def demand_by_day(tokens: Sequence[TokenTotal], workload: str) -> dict[date, int]:
    """Tokens a day of a workload, both lanes, all classes."""
    days: dict[date, int] = defaultdict(int)
    for row in tokens:
        if row.workload == workload:
            days[row.usage_date] += row.tokens
    return dict(days)


def mean_7_day(days: dict[date, int], last: date) -> int:
    """Mean of the 7 days that end with `last`; a day without traffic counts as 0 here, because all was observed."""
    return sum(days.get(last - timedelta(days=back), 0) for back in range(7)) // 7


def break_even_tokens(tokens: Sequence[TokenTotal], *, workload: str, model: str, deployment: str) -> int:
    """(replica + overhead) a day / price per token at the workload's own mix of the last 28 days.

    The price is list x 0.9 where the workload is billed by demo-org, list where it is only a comparator, and at
    demo-openai list, a batch job half of it.
    """
    since = company.LAST_DAY - timedelta(days=27)
    rows = [row for row in tokens if row.workload == workload and row.usage_date >= since]
    is_billed = any(row.lane == "api" for row in rows)
    rows = [row for row in rows if row.lane == "api"] if is_billed else rows
    cost = sum((_list_dollars(row, model) * _percent_of_list(row) / 100 for row in rows), Decimal())
    price = cost / sum(row.tokens for row in rows)
    day = replica_day_cost(deployment) + _OVERHEAD_MONTHLY[deployment] / 30
    return int(day / price)


def _list_dollars(row: TokenTotal, model: str) -> Decimal:
    if row.account == openai_traffic.ACCOUNT:
        (by_class,) = (
            prices
            for name, prices in openai_traffic.LIST_PRICE_MILLS_PER_MTOK.items()
            if openai_traffic.MODELS[name] == row.model
        )
        return Decimal(row.tokens * by_class[row.token_class]) / 10**9
    return Decimal(row.tokens * company.LIST_PRICE_CENTS_PER_MTOK[model][row.token_class]) / 10**8


def _percent_of_list(row: TokenTotal) -> int:
    if row.account == openai_traffic.ACCOUNT:
        return openai_traffic.BATCH_PERCENT_OF_LIST if row.service_tier == "batch" else 100
    return company.CONTRACT_PERCENT_OF_LIST if row.account == company.API_ACCOUNT else 100


def expected_verdicts(tokens: Sequence[TokenTotal]) -> tuple[ExpectedVerdict, ...]:
    """One line per workload of breakeven.yaml, for the last day."""
    known = (
        ("support-chat", company.HAIKU, "chat-llama", "self_host", "demand grew past 1.10 of the break-even volume"),
        ("coding-assistant", company.SONNET, "chat-llama", "api", "far too little traffic to fill a replica"),
        (
            "internal-search",
            company.HAIKU,
            "search-qwen",
            "api",
            "two replicas nearly empty; the API would cost a tenth",
        ),
        ("document-batch", company.HAIKU, "batch-gemma", "self_host", "the owned node is well used every night"),
        ("ticket-triage", company.HAIKU, "triage-llama", "self_host", "cheap GPUs; one of the two would do"),
        (
            "mail-sorting",
            openai_traffic.MODELS[openai_traffic.MINI],
            "search-qwen",
            "api",
            "the API sells its day for less than a tenth of what a replica costs",
        ),
    )
    verdicts = []
    for workload, model, deployment, direction, why in known:
        volume = break_even_tokens(tokens, workload=workload, model=model, deployment=deployment)
        mean = mean_7_day(demand_by_day(tokens, workload), company.LAST_DAY)
        ratio = Decimal(mean) / volume
        verdicts.append(
            ExpectedVerdict(
                workload=workload,
                direction=direction,
                break_even_tokens=volume,
                mean_7_day_tokens=mean,
                ratio_low=_three(ratio * (1 - _TOLERANCE)),
                ratio_high=_three(ratio * (1 + _TOLERANCE)),
                why=why,
            )
        )
    verdicts.append(
        ExpectedVerdict(
            workload="labs-experiments",
            direction="no_hourly_evidence",
            break_even_tokens=None,
            mean_7_day_tokens=None,
            ratio_low=None,
            ratio_high=None,
            why="only a daily Console export in dollars: no tokens, no hours",
        )
    )
    verdicts.append(
        ExpectedVerdict(
            workload="document-search",
            direction="conditions",
            break_even_tokens=None,
            mean_7_day_tokens=None,
            ratio_low=None,
            ratio_high=None,
            why="embeddings: input only, and no deployment of theirs serves them",
        )
    )
    return tuple(verdicts)


def _three(ratio: Decimal) -> str:
    return str(ratio.quantize(Decimal("0.001"), rounding=ROUND_HALF_UP))
